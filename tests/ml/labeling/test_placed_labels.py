"""Queries in people's own words of place, of many images, judged by toytown's truth: place by place."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml.labeling.captioners.from_clip import ClipCaptioner
from ml.labeling.geometry.hierarchy import assign
from ml.labeling.geometry.neighbours import BETWEEN, CLOSEST, NEIGHBOURS
from ml.labeling.geometry.ranks import CORNERS, DEPTHS, RANKS
from ml.labeling.labels import label_shard
from ml.labeling.language.places import places
from ml.labeling.queries.placed import RANK, SAID_ANEW
from ml.masks import Masks
from ml.models.frozen.clip import Clip
from ml.sa1b.shards.filter import filter_masks
from ml.sa1b.shards.index import build_index
from ml.toytown.files.shards import shard_name, write_shard
from ml.toytown.files.truth import truth_of_image
from ml.workspace.settings import preset

IMAGES, MANY = 120, 100
LEAST = 0.95  # of a place's queries mean the right thing; one misnamed thing makes many of them wrong
RARE = (*CORNERS, *DEPTHS, "third from top", "third from bottom")


@pytest.mark.slow
def test_every_place_means_what_is_there(clip: Clip, tmp_path: Path) -> None:
    toytown = preset("toytown")
    town = toytown.toytown.model_copy(update={"images_per_shard": IMAGES})
    labels = toytown.labels.model_copy(update={"placed_queries": MANY, "spatial_queries": 0})
    params = toytown.model_copy(update={"toytown": town, "labels": labels})
    tar, kept, out = (tmp_path / name for name in (f"{shard_name(3)}.tar", "kept.parquet", "labels.parquet"))
    write_shard(3, params, tar)
    build_index(tar, tmp_path / "index.parquet", tmp_path / "rejects.parquet", params.quality)
    filter_masks(tmp_path / "index.parquet", kept, params.filter, assign)
    captioner = ClipCaptioner(clip, clip)
    label_shard(kept, tar, out, tmp_path / "embeddings.safetensors", clip, captioner, labels, 0)
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row in pq.read_table(out).to_pylist():
        masks, truth = (
            Masks.parse(row["counts"], (row["height"], row["width"])),
            truth_of_image(row["image_id"], params),
        )
        for query in row["queries"]:
            if query["kind"] in ("relation", "superlative", RANK):
                (place,) = {place.name for place in places(query["text"])}
                asked[place] += 1
                right[place] += truth.relevance(query["text"], masks)[query["target"]] >= 0.5
    assert set(asked) == {*SAID_ANEW, *RANKS, *NEIGHBOURS, CLOSEST, BETWEEN}
    assert all(asked[place] >= 15 for place in set(asked) - set(RARE))
    assert {place: right[place] / n for place, n in asked.items() if right[place] < LEAST * n} == {}
    assert right.total() >= 0.98 * asked.total()
