"""The whole of `label_shard` with toytown's own CLIP, judged by toytown's truth."""

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from ml.errors import UserError
from ml.labeling import labels
from ml.labeling.captioners.batch import Batch
from ml.labeling.captioners.captioner import Captions
from ml.labeling.captioners.from_clip import ClipCaptioner
from ml.labeling.captions import Described, describe
from ml.labeling.geometry.relations import measure
from ml.labeling.kept import read_kept
from ml.labeling.labels import label_shard
from ml.labeling.language.english import english
from ml.labeling.language.places import places
from ml.labeling.pictures import TARGET
from ml.labeling.queries.placed import RANK
from ml.labeling.scoring import score_labels
from ml.labeling.table import SCHEMA
from ml.masks import Masks
from ml.models.frozen.clip import Clip
from ml.toytown.files.truth import truth_of_image
from ml.toytown.world.language import caption
from ml.workspace.report import Report

Row = dict[str, Any]
SPATIAL = ("relation", "superlative", RANK)


@pytest.fixture(scope="module")
def labelled(shard: Any, clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Row], Path, Report]:
    """Rows of the labels, the folder they lie in, and the report."""
    folder = tmp_path_factory.mktemp("labels")
    report = label(shard, clip, folder)
    return pq.read_table(folder / "labels.parquet").to_pylist(), folder, report


def label(shard: Any, clip: Clip, folder: Path, tar: Path | None = None) -> Report:
    outputs = folder / "labels.parquet", folder / "labels.safetensors"
    params = shard.params.labels
    captioner = ClipCaptioner(clip, clip)
    return label_shard(shard.kept, tar or shard.tar, *outputs, clip, captioner, params, 0)


def test_rows_are_whole(labelled: tuple[list[Row], Path, Report], shard: Any) -> None:
    rows, folder, report = labelled
    assert pq.read_schema(folder / "labels.parquet").remove_metadata() == SCHEMA
    for row, kept in zip(rows, read_kept(shard.kept), strict=True):
        n = len(kept.rows)
        assert row["mask_ids"] == [mask["mask_id"] for mask in kept.rows]
        assert row["parents"] == kept.parents().tolist()
        assert {len(row[name]) for name in ("counts", "boxes", "levels", "phrases", "predicted_ious")} == {n}
        present = [query for query in row["queries"] if query["kind"] != "absent"]
        assert row["queries"][: len(present)] == present and len(present) < len(row["queries"])  # the absent come last
        assert all(0 <= query["target"] < n for query in present)
        assert all(query["target"] == -1 <= query["anchor"] < n for query in row["queries"][len(present) :])
        for query in present:
            assert (query["anchor"] >= 0) == (query["kind"] in ("relation", "part"))
            assert query["anchor"] not in (n, query["target"])
            assert query["target"] in query["named"]
            assert len(query["named"]) > 1 or query["kind"] not in ("superlative", RANK)
        assert np.array(row["relevance"]).shape == (len(row["queries"]), n)
        assert 0 <= np.min(row["relevance"]) <= np.max(row["relevance"]) <= 1
        assert all(-1 <= question["evidence"] < n for question in row["questions"])
        assert row["caption"]
    assert report.numbers["images"] == len(rows) == 4
    assert report.numbers["queries"] == sum(len(row["queries"]) for row in rows)


def test_targets_are_clear(labelled: tuple[list[Row], Path, Report]) -> None:
    """No mask beats a query's target, and its near-duplicates are as relevant; none is to what is absent."""
    for row in labelled[0]:
        masks = Masks.parse(row["counts"], (row["height"], row["width"]))
        duplicates = measure(masks, np.array(row["parents"]), 0.08).duplicates
        for query, relevance in zip(row["queries"], np.array(row["relevance"]), strict=True):
            if query["target"] < 0:
                assert not relevance.any()
                continue
            assert relevance[query["target"]] >= 0.6
            assert relevance[query["target"]] == relevance.max() or query["kind"] == "part"
            assert (relevance[duplicates[query["target"]]] >= relevance[query["target"]]).all()


def test_there_is_enough_of_everything(labelled: tuple[list[Row], Path, Report], shard: Any) -> None:
    rows, limits = labelled[0], shard.params.labels
    kinds = {query["kind"] for row in rows for query in row["queries"]}
    assert {"attribute", "relation", "superlative", "part", "scene", "absent"} <= kinds
    for row in rows:
        spatial = sum(query["kind"] in SPATIAL for query in row["queries"])
        absent = sum(query["kind"] == "absent" for query in row["queries"])
        assert limits.placed_queries < spatial <= limits.spatial_queries + limits.placed_queries
        assert 0 < absent <= limits.absent_queries
        assert len(row["queries"]) - spatial - absent <= limits.max_regions
        assert sum(map(bool, row["phrases"])) <= limits.max_regions
        assert 0 < len(row["questions"]) <= limits.questions


def test_embeddings_follow_the_rows(labelled: tuple[list[Row], Path, Report], clip: Clip) -> None:
    """A mask's embedding is near its own phrase's, and nearer than other masks' are on average."""
    rows, folder, _ = labelled
    stored = load_file(folder / "labels.safetensors")["embeddings"]
    assert stored.shape == (sum(len(row["mask_ids"]) for row in rows), clip.embed_dim)
    np.testing.assert_allclose(np.linalg.norm(stored.astype(np.float32), axis=1), 1, atol=2e-3)
    phrases = [phrase for row in rows for phrase in row["phrases"]]
    said = [i for i, phrase in enumerate(phrases) if phrase]
    texts = clip.encode_text(clip.tokenize([phrases[i] for i in said])).pooled.numpy()
    cosine = stored[said].astype(np.float32) @ texts.T
    assert cosine.diagonal().mean() > cosine.mean() + 0.3


def test_labels_are_true(labelled: tuple[list[Row], Path, Report], shard: Any) -> None:
    def truth(image_id: int, masks: Masks, texts: list[str]) -> tuple[np.ndarray, list[str]]:
        known = truth_of_image(image_id, shard.params)
        scene = known.drawing.scene
        captions = [caption(scene, scene.nodes[i]) if i >= 0 else "" for i in known.nodes(masks)]
        return np.array([known.relevance(text, masks) for text in texts]), captions

    report = score_labels(labelled[1] / "labels.parquet", truth)
    assert report.numbers["right target"] >= 0.85
    assert report.numbers["relevance agreement"] >= 0.93
    (absent,) = (row for row in report.tables["label_scores"] if row["kind"] == "absent")
    assert absent["right target"] >= 0.9


def test_what_the_caption_of_an_image_tells_of_is_not_absent(
    labelled: tuple[list[Row], Path, Report], shard: Any, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captions that name every kind of thing leave what is here, in wrong relations: each has an anchor."""

    def telling(*given: Any) -> list[Described]:
        described = list(describe(*given))
        phrases = [
            phrase for one in described for caption in one.captions if (phrase := english().read([caption])[0].first)
        ]
        everything = ", ".join(sorted({phrase.bare().indefinite for phrase in phrases}))
        return [replace(one, caption=everything) for one in described]

    monkeypatch.setattr(labels, "describe", telling)
    label(shard, clip, tmp_path)
    rows = pq.read_table(tmp_path / "labels.parquet").to_pylist()
    told, before = (
        [query["anchor"] for row in found for query in row["queries"] if query["kind"] == "absent"]
        for found in (rows, labelled[0])
    )
    assert min(before) == -1 and min(told) >= 0


def test_where_no_name_of_an_image_is_sure_all_its_queries_are_of_what_is_absent(
    labelled: tuple[list[Row], Path, Report], shard: Any, clip: Clip, tmp_path: Path
) -> None:
    """At a midpoint that the surest name of one image does not reach."""
    texts = (clip.encode_text(clip.tokenize([phrase or "nothing" for phrase in row["phrases"]])) for row in labelled[0])
    stored = load_file(labelled[1] / "labels.safetensors")["embeddings"].astype(np.float32)
    ends = np.cumsum([len(row["phrases"]) for row in labelled[0]])
    crops = np.split(stored, ends[:-1])
    surest = sorted(float((told.pooled.numpy() * seen).sum(1).max()) for told, seen in zip(texts, crops, strict=True))
    high = {"similarity_midpoint": (surest[0] + surest[1]) / 2, "similarity_scale": 1e-4, "least_agreement": 0.0}
    strict = shard.params.labels.model_copy(update=high)
    outputs = tmp_path / "labels.parquet", tmp_path / "labels.safetensors"
    label_shard(shard.kept, shard.tar, *outputs, clip, ClipCaptioner(clip, clip), strict, 0)
    unsure = [row for row in pq.read_table(outputs[0]).to_pylist() if not any(row["phrases"])]
    assert len(unsure) == 1
    for row in unsure:
        assert {query["kind"] for query in row["queries"]} == {"absent"}
        assert np.array(row["relevance"]).shape == (len(row["queries"]), len(row["mask_ids"]))


def test_labels_without_a_query_stop_and_say_why(shard: Any, clip: Clip, tmp_path: Path) -> None:
    never = shard.params.labels.model_copy(update={"similarity_midpoint": 1.0, "least_agreement": 0.0})
    outputs = tmp_path / "labels.parquet", tmp_path / "labels.safetensors"
    with pytest.raises(
        UserError, match=r"^labels: not one query for (\d+) masks: \1 captions read, \d+ phrases found, .* 1; CLIP"
    ):
        label_shard(shard.kept, shard.tar, *outputs, clip, ClipCaptioner(clip, clip), never, 0)
    assert not list(tmp_path.iterdir())


def test_the_same_bytes_again(labelled: tuple[list[Row], Path, Report], shard: Any, clip: Clip, tmp_path: Path) -> None:
    label(shard, clip, tmp_path)
    for name in ("labels.parquet", "labels.safetensors"):
        assert (tmp_path / name).read_bytes() == (labelled[1] / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.parquet", "labels.safetensors"]


def test_people_s_words_of_place_take_nothing_from_what_else_is_asked(
    labelled: tuple[list[Row], Path, Report], shard: Any, clip: Clip, tmp_path: Path
) -> None:
    without = shard.params.labels.model_copy(update={"placed_queries": 0})
    outputs = tmp_path / "labels.parquet", tmp_path / "labels.safetensors"
    label_shard(shard.kept, shard.tar, *outputs, clip, ClipCaptioner(clip, clip), without, 0)
    for row, bare in zip(deepcopy(labelled[0]), pq.read_table(outputs[0]).to_pylist(), strict=True):
        absent = sum(query["kind"] == "absent" for query in row["queries"])
        more = len(row["queries"]) - len(bare["queries"])
        assert 0 < more <= shard.params.labels.placed_queries
        added = slice(len(row["queries"]) - absent - more, len(row["queries"]) - absent)
        assert all(places(query["text"]) for query in row["queries"][added])
        for name in ("queries", "relevance"):
            del row[name][added]
        assert row == bare


def test_a_broken_picture_is_counted(shard: Any, clip: Clip, tmp_path: Path) -> None:
    data = bytearray(shard.tar.read_bytes())
    broken = list(read_kept(shard.kept))[1]
    data[broken.jpeg_offset : broken.jpeg_offset + broken.jpeg_bytes] = bytes(broken.jpeg_bytes)
    tar = tmp_path / "broken.tar"
    tar.write_bytes(data)
    report = label(shard, clip, tmp_path, tar)
    rows = pq.read_table(tmp_path / "labels.parquet").to_pylist()
    assert report.rejected == {"the JPEG can't be decoded": 1}
    assert broken.image_id not in [row["image_id"] for row in rows]
    assert len(rows) == 3
    assert len(load_file(tmp_path / "labels.safetensors")["embeddings"]) == sum(len(row["mask_ids"]) for row in rows)


@dataclass(frozen=True)
class Saying:
    """A captioner that says the same of every mask."""

    text: str | None

    def look(self, batch: Batch) -> None:
        pass

    def caption(self, batch: Batch) -> Captions:
        return Captions([self.text for kept, _ in batch for _ in kept.rows], [""] * len(batch))

    def report(self) -> Report:
        return Report(numbers={"told": 1}, rejected={"said nothing": 2})


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "0 captions read, 0 phrases found, relevance midpoint 0.46; give labels.captioner captions"),
        ("", r"\d+ captions read, 0 phrases found, .*most often: empty"),
        ("running quickly", "0 phrases found, .*most often: tells of no thing"),
        ("a red car " * 300, "0 phrases found, .*most often: endless"),
        ("a very rare zyzzyva", "[1-9]\\d* phrases found, .* lower labels.similarity_midpoint"),
    ],
)
def test_captions_that_tell_of_nothing_stop_and_say_why(
    said: str | None, why: str, shard: Any, clip: Clip, tmp_path: Path
) -> None:
    outputs = tmp_path / "labels.parquet", tmp_path / "labels.safetensors"
    with pytest.raises(UserError, match=f"^labels: not one query for .*{why}") as error:
        label_shard(shard.kept, shard.tar, *outputs, clip, Saying(said), shard.params.labels, 0)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_bad_captions_are_counted_with_their_reasons(shard: Any, clip: Clip, tmp_path: Path) -> None:
    class Mixed(ClipCaptioner):
        def caption(self, batch: Batch) -> Captions:
            said = super().caption(batch)
            return replace(said, masks=["", "running", None, "a car " * 400, *said.masks[4:]])

        def report(self) -> Report:
            return Report(numbers={"told": 1}, rejected={"said nothing": 2})

    outputs = tmp_path / "labels.parquet", tmp_path / "labels.safetensors"
    report = label_shard(shard.kept, shard.tar, *outputs, clip, Mixed(clip, clip), shard.params.labels, 0)
    assert report.rejected == {
        "caption: empty": 1,
        "caption: tells of no thing": 1,
        "caption: endless, more than 2,000 letters": 1,
        "said nothing": 2,
    }
    assert report.numbers["told"] == 1
    assert report.numbers["captions"] == report.numbers["masks"] - 1 == report.numbers["phrases"] + 3


def test_the_sample_sheet_boxes_the_target_of_what_is_there(labelled: tuple[list[Row], Path, Report]) -> None:
    """A line an image: its masks, and the first and the last query that means one."""
    png = labelled[2].pictures["labels"]
    assert png.startswith(b"\x89PNG")
    sheet = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    boxed = [(panel == TARGET).all(-1).any() for panel in np.split(sheet, 3, axis=1)]
    assert boxed == [False, True, True]
    assert json.dumps(labelled[2].tables)
