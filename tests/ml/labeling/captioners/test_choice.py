"""The captioner that params name, with what it needs of a workspace."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ml.errors import UserError
from ml.labeling.captioners.batch import Batch
from ml.labeling.captioners.choice import captioner_of
from ml.labeling.captioners.from_clip import ClipCaptioner
from ml.labeling.captioners.from_endpoint import EndpointCaptioner
from ml.labeling.captioners.from_file import FileCaptioner
from ml.labeling.kept import read_kept
from ml.params import Params
from ml.workspace import Workspace


@pytest.fixture
def ws(shard: Any, tmp_path: Path) -> Workspace:
    """Two shards with the same kept masks, and the repository's declaration."""
    place = Workspace(tmp_path)
    for name in ("sa_000000", "sa_000001"):
        path = place.shard_file("filtered_masks", name, ".parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shard.kept, path)
    shutil.copy(Path(__file__).parents[4] / "dvc.yaml", tmp_path / "dvc.yaml")
    return place


def params(shard: Any, **labels: Any) -> Params:
    return shard.params.model_copy(update={"labels": shard.params.labels.model_copy(update=labels)})


def no_coca() -> Any:
    raise AssertionError("loaded, though it is not asked")


def test_clip_is_loaded_for_itself_alone(ws: Workspace, shard: Any, clip: Any, batch: list[Any]) -> None:
    captioner = captioner_of(ws, params(shard, captioner="clip"), "sa_000000", clip, lambda: clip)
    assert isinstance(captioner, ClipCaptioner)
    first = Batch(batch[:1], shard.params.labels.crop_margin)
    said = captioner.caption(first)
    assert len(said.masks) == len(batch[0][0].rows) == len(said.embeddings) and len(said.images) == 1
    other = captioner_of(ws, params(shard, captioner="clip"), "sa_000000", object(), lambda: clip)
    assert other.caption(first).embeddings is None


def test_rows_of_no_shard_are_the_first_shards_to_count(ws: Workspace, shard: Any) -> None:
    images = [image.image_id for image in read_kept(shard.kept)]
    rows = [{"image_id": image, "mask_id": -1, "text": "a car"} for image in (*images, 2**50, None)]
    (ws.root / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = params(shard, captioner="file", caption_file="mine.jsonl").model_copy(
        update={"quality": shard.params.quality.model_copy(update={"max_reject_fraction": 0.5})}
    )
    counted = []
    for name in ("sa_000000", "sa_000001"):
        captioner = captioner_of(ws, chosen, name, object(), no_coca)
        assert isinstance(captioner, FileCaptioner)
        counted.append(captioner.report().numbers["caption rows"])
    assert counted == [len(images) + 2, len(images)]
    strict = params(shard, captioner="file", caption_file="mine.jsonl")
    with pytest.raises(UserError, match=r"mine\.jsonl: 1 of 6 rows are refused \(1 x image_id is missing"):
        captioner_of(ws, strict, "sa_000000", object(), no_coca)


def test_answers_are_kept_beside_the_data_a_file_a_shard(ws: Workspace, shard: Any, batch: list[Any]) -> None:
    captioner = captioner_of(ws, params(shard, captioner="openai"), "sa_000001", object(), no_coca)
    assert isinstance(captioner, EndpointCaptioner)
    assert captioner.cache.path == ws.data / ".captions" / "sa_000001.jsonl"
    assert captioner.total == sum(len(kept.rows) + 1 for kept, _ in batch)
    assert captioner.limit == shard.params.quality.max_reject_fraction
