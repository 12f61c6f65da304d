"""The labelled set as other programs read it: pycocotools by COCO's rules, a tar by WebDataset's."""

import json
import shutil
import tarfile
import tracemalloc
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from ml.errors import UserError
from ml.labeling.export.formats import export
from ml.labeling.geometry.hierarchy import assign
from ml.labeling.kept import KeptImage, read_kept
from ml.labeling.table import SCHEMA, image_columns
from ml.masks import Masks
from ml.params import Params
from ml.sa1b.reading.reader import read_jpeg
from ml.sa1b.shards.filter import filter_masks
from ml.sa1b.shards.index import build_index
from ml.toytown.files.shards import write_shard
from ml.workspace import Workspace
from ml.workspace.settings import preset, validate

ROOT = Path(__file__).parents[4]
SHARDS, IMAGES = ("sa_000000", "sa_000001"), 2
Row = dict[str, Any]


def tar_of(ws: Workspace, shard: str) -> Path:
    return ws.shard_file("sa1b_shards", shard, ".tar")


def labels_of(ws: Workspace, shard: str) -> Path:
    return ws.shard_file("pseudo_labels", shard, ".parquet")


@pytest.fixture(scope="module")
def params() -> Params:
    raw = preset("smoke").model_dump()
    raw["shards"] |= {"count": len(SHARDS), "workers": 1}
    raw["toytown"] |= {"images_per_shard": IMAGES}
    return validate(raw, "test")


@pytest.fixture(scope="module")
def ws(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two shards, labelled by hand: each mask has its number as phrase, but for the first."""
    found = Workspace(tmp_path_factory.mktemp("ws"))
    shutil.copy(ROOT / "dvc.yaml", found.root)
    for number, shard in enumerate(SHARDS):
        tar, labels = tar_of(found, shard), labels_of(found, shard)
        for path in (tar, labels):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_shard(number, params, tar)
        index, kept = found.root / "index.parquet", found.root / "kept.parquet"
        build_index(tar, index, found.root / "rejects.parquet", params.quality)
        filter_masks(index, kept, params.filter, assign)
        pq.write_table(pa.Table.from_pylist([row(image) for image in read_kept(kept)], SCHEMA), labels)
    return found


def row(image: KeptImage) -> Row:
    n = len(image.rows)
    query = {"text": "the first", "kind": "attribute", "target": 0, "anchor": -1, "named": [0]}
    query |= {"name": "first", "against": ""}
    return image_columns(image) | {
        "phash": bytes(32),
        "caption": f"picture {image.image_id}",
        "phrases": ["", *map(str, range(1, n))],
        "queries": [query],
        "relevance": [[1.0, *[0.25] * (n - 1)]],
        "questions": [{"question": "how many?", "answer": str(n), "evidence": -1}],
    }


@pytest.fixture(scope="module")
def rows(ws: Workspace) -> dict[int, Row]:
    found = [one for shard in SHARDS for one in pq.read_table(labels_of(ws, shard)).to_pylist()]
    return {one["image_id"]: one | {"tar": tar_of(ws, SHARDS[i // IMAGES])} for i, one in enumerate(found)}


@pytest.fixture(scope="module")
def coco(ws: Workspace, params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("coco")  # there, and empty
    assert export(ws, params, "coco", out) == {"format": "coco", "folder": str(out), "shards": 2}
    return out


def test_coco_holds_every_mask_as_it_is_stored(coco: Path, rows: dict[int, Row]) -> None:
    found = COCO(coco / "annotations" / "instances_default.json")
    assert set(found.getImgIds()) == set(rows) and len(rows) == 4
    for image_id, stored in rows.items():
        entries = found.loadAnns(found.getAnnIds(image_id))
        assert [entry["attributes"]["mask_id"] for entry in entries] == stored["mask_ids"]
        assert [entry["attributes"]["phrase"] for entry in entries] == stored["phrases"]
        assert [found.cats[entry["category_id"]]["name"] for entry in entries] == stored["levels"]
        runs = Masks.parse(stored["counts"], (stored["height"], stored["width"]))
        for i, entry in enumerate(entries):
            assert np.array_equal(found.annToMask(entry).astype(bool), runs.dense(i))
            assert entry["bbox"] == coco_mask.toBbox(entry["segmentation"]).tolist()
            assert entry["area"] == coco_mask.area(entry["segmentation"])
            parent = stored["parents"][i]
            assert entry["attributes"]["parent"] == (stored["mask_ids"][parent] if parent >= 0 else -1)
            assert entry["score"] == pytest.approx(stored["predicted_ious"][i], abs=1e-4)


def test_its_images_are_those_of_the_tar_and_its_captions_theirs(coco: Path, rows: dict[int, Row]) -> None:
    found = COCO(coco / "annotations" / "captions_default.json")
    for image_id, stored in rows.items():
        (image,) = found.loadImgs(image_id)
        (caption,) = found.loadAnns(found.getAnnIds(image_id))
        assert caption["caption"] == f"picture {image_id}"
        jpeg = read_jpeg(stored["tar"], stored["jpeg_offset"], stored["jpeg_bytes"])
        assert (coco / "images" / image["file_name"]).read_bytes() == jpeg


def test_readers_that_know_no_run_lengths_have_the_boxes(coco: Path) -> None:
    whole, plain = (
        json.loads((coco / name).read_text()) for name in ("annotations/instances_default.json", "boxes.json")
    )
    for entry in whole["annotations"]:
        del entry["segmentation"]
    assert plain == whole and {"bbox", "score", "category_id"} < set(plain["annotations"][0])


def test_a_tar_is_read_by_the_names_of_its_members(
    ws: Workspace, params: Params, rows: dict[int, Row], tmp_path: Path
) -> None:
    for folder in ("once", "again"):
        export(ws, params, "webdataset", tmp_path / "new" / folder)
    seen = {}
    for shard in SHARDS:
        path = tmp_path / "new" / "once" / f"{shard}.tar"
        assert path.read_bytes() == (tmp_path / "new" / "again" / path.name).read_bytes()
        with tarfile.open(path) as tar:
            for key, members in groupby(tar, key=lambda member: member.name.partition(".")[0]):
                parts = {member.name.partition(".")[2]: tar.extractfile(member).read() for member in members}
                seen[key] = parts["jpg"], json.loads(parts["json"])
    assert set(seen) == {Path(stored["file_name"]).stem for stored in rows.values()}
    for jpeg, said in seen.values():
        stored = rows[said["image_id"]]
        assert jpeg == read_jpeg(stored["tar"], stored["jpeg_offset"], stored["jpeg_bytes"])
        assert [mask["segmentation"]["counts"] for mask in said["masks"]] == stored["counts"]
        assert [mask["parent"] for mask in said["masks"]] == stored["parents"]
        (query,) = said["queries"]
        assert query["text"] == "the first" and query["relevance"] == stored["relevance"][0]
        assert said["questions"] == stored["questions"] and said["caption"] == stored["caption"]


@pytest.mark.parametrize("form", ["coco", "webdataset"])
def test_it_takes_no_more_memory_for_more_shards(ws: Workspace, params: Params, tmp_path: Path, form: Any) -> None:
    many = Workspace(tmp_path / "many")
    shutil.copytree(ws.root, many.root)
    for number in range(2, 20):
        for place in (tar_of, labels_of):
            shutil.copy(place(many, SHARDS[0]), place(many, f"sa_{number:06d}"))
    peaks = []
    for count in (2, 2, 20):  # the first pays for what is imported
        tracemalloc.start()
        shards = params.shards.model_copy(update={"count": count})
        export(many, params.model_copy(update={"shards": shards}), form, tmp_path / f"out{len(peaks)}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]


def test_what_is_there_is_left_alone_and_what_is_missing_named(ws: Workspace, params: Params, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    for taken in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(UserError, match="is there and not empty; name a new folder") as error:
            export(ws, params, "coco", taken)
        assert "\n" not in str(error.value)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    more = params.model_copy(update={"shards": params.shards.model_copy(update={"count": 3})})
    with pytest.raises(UserError, match=r"sa_000002\.parquet: missing; run arrcoc run --select \+pseudo_labels first"):
        export(ws, more, "webdataset", tmp_path / "new")
    assert not (tmp_path / "new").exists()  # nothing half
