"""The data card counts what is there, says the same of the same shards, and names a file that is missing."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco

from ml.errors import UserError
from ml.labeling.captioners.from_clip import ClipCaptioner
from ml.labeling.labels import label_shard
from ml.labeling.training_set.data_card import write_card
from ml.labeling.training_set.statistics import BINS, Statistics, Texts
from ml.sa1b.shards.index import build_index
from ml.workspace.report import Report

NAME = "sa_000003"


@dataclass(frozen=True)
class Folders:
    """A labelled shard and the manifest that names it."""

    manifest: Path
    tars: Path
    index: Path
    kept: Path
    labels: Path

    def write(self) -> Report:
        return write_card(self.manifest, self.tars, self.index, self.kept, self.labels)

    def statistics(self) -> Statistics:
        found = Statistics()
        rejects = self.index / f"{NAME}.rejects.parquet"
        found.add_shard(rejects, self.kept / f"{NAME}.parquet", self.labels / f"{NAME}.parquet")
        return found


@pytest.fixture(scope="module")
def folders(shard, clip, tmp_path_factory) -> Folders:
    root = tmp_path_factory.mktemp("group")
    found = Folders(root / "set" / "group_000.json", *(root / name for name in ("tars", "index", "kept", "labels")))
    for folder in (root / "set", found.tars, found.index, found.kept, found.labels):
        folder.mkdir()
    (found.tars / f"{NAME}.tar").symlink_to(shard.tar)
    (found.kept / f"{NAME}.parquet").symlink_to(shard.kept)
    index, rejects = (found.index / f"{NAME}{suffix}" for suffix in (".parquet", ".rejects.parquet"))
    build_index(shard.tar, index, rejects, shard.params.quality)
    out = found.labels / NAME
    paths = out.with_suffix(".parquet"), out.with_suffix(".safetensors")
    captioner = ClipCaptioner(clip, clip)
    label_shard(shard.kept, shard.tar, *paths, clip, captioner, shard.params.labels, 0)
    manifest = {"group": "group_000", "shards": [{"shard": NAME}], "statistics": {"images": 4}, "copies": []}
    found.manifest.write_text(json.dumps(manifest))
    return found


def test_masks_and_texts_are_counted(folders):
    found, rows = folders.statistics(), pq.read_table(folders.labels / f"{NAME}.parquet").to_pylist()
    queries = [query["text"] for row in rows for query in row["queries"]]
    assert found.images == len(rows) and found.kept == sum(len(row["counts"]) for row in rows)
    assert found.levels == Counter(level for row in rows for level in row["levels"])
    assert found.described.total() == sum(phrase != "" for row in rows for phrase in row["phrases"])
    assert found.kinds == Counter(query["kind"] for row in rows for query in row["queries"])
    assert found.texts["queries"].words == Counter(word for text in queries for word in text.split())
    counted = {name: int(counts.sum()) for name, counts in found.histograms.items()}
    assert counted["masks an image"] == counted["covered by masks"] == len(rows)
    assert counted["area / image"] == counted["width / height"] == counted["predicted IoU"] == found.kept
    assert counted["words a query"] == len(queries)
    assert counted["relevance"] == sum(len(row["queries"]) * len(row["counts"]) for row in rows)


def test_areas_and_coverage_are_those_of_pycocotools(folders):
    rows = pq.read_table(folders.labels / f"{NAME}.parquet").to_pylist()
    areas, covered = [], []
    for row in rows:
        rles = [{"size": [row["height"], row["width"]], "counts": counts} for counts in row["counts"]]
        pixels = row["height"] * row["width"]
        areas += (coco.area(rles) / pixels).tolist()
        covered.append(float(coco.area(coco.merge(rles))) / pixels)
    found = folders.statistics().histograms
    for name, values in (("area / image", areas), ("covered by masks", covered)):
        assert found[name].tolist() == np.histogram(values, BINS[name])[0].tolist()


def test_what_was_left_out_adds_up(folders):
    found = folders.statistics()
    dropped = sum(count for (stage, _), count in found.lost.items() if stage == "filtered_masks")
    assert found.present == found.kept + dropped and dropped > 0
    rejected = pq.read_table(folders.index / f"{NAME}.rejects.parquet")["reason"].to_pylist()
    assert sum(count for (stage, _), count in found.lost.items() if stage == "mask_index") == len(rejected)


def test_the_same_shards_give_the_same_bytes(folders):
    folders.write()
    first = {path.name: path.read_bytes() for path in folders.manifest.parent.iterdir()}
    report = folders.write()
    assert {path.name: path.read_bytes() for path in folders.manifest.parent.iterdir()} == first
    assert set(first) == {f"group_000.{end}" for end in ("json", "card.md", "histograms.png", "samples.png")}
    for name, png in report.pictures.items():
        assert first[f"group_000.{name}.png"] == png
        assert np.asarray(Image.open(BytesIO(png)).convert("L")).std() > 5  # something is drawn
    assert not set(report.tables) & {"images", "masks", "queries", "questions"}  # the names of the manifest's numbers
    text = first["group_000.card.md"].decode()
    assert "(group_000.histograms.png)" in text and "(group_000.samples.png)" in text
    assert f"were kept ({100 * folders.statistics().kept / folders.statistics().present:.1f} %)" in text


def test_words_are_counted_without_case_and_punctuation():
    texts = Texts()
    texts.add(["The dog's ball.", "", "the BALL"])
    assert texts.row() == {"texts": 2, "mean words": 2.5, "most words": 3, "distinct words": 3}
    assert texts.words == {"the": 2, "dog's": 1, "ball": 2}


def rewritten(folders: Folders, labels: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Folders:
    """The folders with the rows of their labels changed; None: without that row."""
    table = pq.read_table(folders.labels / f"{NAME}.parquet")
    rows = [changed for row in table.to_pylist() if (changed := change(row)) is not None]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), labels / f"{NAME}.parquet")
    return replace(folders, labels=labels)


def test_a_shard_without_images_is_no_error(folders, tmp_path):
    empty = rewritten(folders, tmp_path, lambda row: None)
    empty.write()
    assert empty.statistics().images == 0
    assert "| images | 4 |" in empty.manifest.with_suffix(".card.md").read_text()


def test_labels_without_phrases_and_queries_are_counted_as_such(folders, tmp_path):
    nothing = {"queries": [], "relevance": [], "questions": [], "caption": ""}
    mute = rewritten(folders, tmp_path, lambda row: {**row, **nothing, "phrases": [""] * len(row["phrases"])})
    mute.write()
    found = mute.statistics()
    assert (found.kinds.total(), found.described.total(), found.levels.total() > 0) == (0, 0, True)


def test_a_missing_file_is_named(folders, tmp_path):
    broken = Folders(folders.manifest, folders.tars, tmp_path, folders.kept, folders.labels)
    with pytest.raises(UserError, match=rf"{NAME}\.rejects\.parquet: .* run mask_index"):
        broken.write()
