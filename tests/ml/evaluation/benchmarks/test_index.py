"""The index: questions apart from answers, no absolute path, and folders that cannot be used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ml.errors import UserError
from ml.evaluation.benchmarks.index import build, image_path
from ml.params import Params


def test_questions_lie_apart_from_answers(folders: dict[str, Path], tmp_path: Path, params: Params) -> None:
    report = build(folders, tmp_path / "data", params)
    for file in (tmp_path / "data" / "queries").glob("*.parquet"):
        assert pq.read_schema(file).names == ["query_id", "split", "image", "text", "kind"]
    regions = pq.read_schema(tmp_path / "data" / "regions" / "relevance.parquet")
    assert set(regions.names) == {"image", "counts"}
    assert report.numbers["images"] == 4 + 1 + 1 + 2 + 1 and not report.rejected


def test_the_index_is_reproducible_and_moves_with_its_folder(
    folders: dict[str, Path], tmp_path: Path, params: Params
) -> None:
    for name in ("one", "two"):
        build(folders, tmp_path / name, params)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    for file in files:
        content = (tmp_path / "one" / file).read_bytes()
        assert content == (tmp_path / "two" / file).read_bytes()
        assert str(tmp_path).encode() not in content
    image = pq.read_table(tmp_path / "one" / "images.parquet").to_pylist()[0]
    with Image.open(image_path(tmp_path / "one", image["image"])) as picture:
        assert picture.size == (image["width"], image["height"])


def test_a_missing_folder_and_too_many_broken_rows_are_one_line(
    folders: dict[str, Path], tmp_path: Path, params: Params
) -> None:
    with pytest.raises(UserError, match=r"params\.benchmarks\.lvis"):
        build({"lvis": tmp_path / "nowhere"}, tmp_path / "data", params)
    image = folders["refcoco"] / "images" / "train2014" / "COCO_train2014_000000000001.jpg"
    image.write_bytes(b"no image")
    with pytest.raises(UserError) as error:
        build({"refcoco": folders["refcoco"]}, tmp_path / "data", params)
    assert "not readable as an image" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "data" / "images.parquet").exists()


def test_an_image_of_another_size_is_rejected(folders: dict[str, Path], tmp_path: Path, params: Params) -> None:
    """Annotations of one edition with images of another would score noise."""
    image = folders["refcoco"] / "images" / "train2014" / "COCO_train2014_000000000002.jpg"
    Image.new("RGB", (64, 48)).save(image)
    generous = params.model_copy(update={"quality": params.quality.model_copy(update={"max_reject_fraction": 0.5})})
    report = build({"refcoco": folders["refcoco"]}, tmp_path / "data", generous)
    assert report.rejected == {"refcoco: is 64x48, the annotations say 128x96": 1}
    queries = pq.read_table(tmp_path / "data" / "queries" / "refcoco.parquet").to_pylist()
    assert len(queries) == 9 and not any("0002.jpg" in row["image"] for row in queries)


def change(path: Path, part: str, **values: Any) -> None:
    """Give every row of a part of a JSON file other values."""
    raw = json.loads(path.read_text())
    for row in raw[part]:
        row.update(values)
    path.write_text(json.dumps(raw))


INSTANCES, LVIS = "refcoco/instances.json", "lvis_v1_val.json"
FAULTS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "missing images": (
        "refcoco",
        lambda folder: shutil.rmtree(folder / "images"),
        "refcoco: 12 of 12 questions are lost to broken rows (12 x file_name: image is missing)",
    ),
    "refs without annotations": (
        "refcoco",
        lambda folder: change(folder / INSTANCES, "annotations", id=99),
        "refcoco: 12 of 12 questions are lost to broken rows (12 x ann_id: not in instances.json)",
    ),
    "boxes outside": (
        "refcoco",
        lambda folder: change(folder / INSTANCES, "annotations", bbox=[100, 90, 60, 60]),
        "refcoco: 12 of 12 questions are lost to broken rows (12 x bbox: box outside the image)",
    ),
    "empty polygons": (
        "refcoco",
        lambda folder: change(folder / INSTANCES, "annotations", segmentation=[]),
        "refcoco: 12 of 12 questions are lost to broken rows (12 x segmentation: empty segmentation)",
    ),
    "names of train2017": (
        "refcoco",
        lambda folder: change(folder / INSTANCES, "images", file_name="000000000001.jpg"),
        "12 x file_name: a name of COCO 2017; RefCOCO's images are of train2014",
    ),
    "ids of another release": (
        "refcoco",
        lambda folder: change(folder / INSTANCES, "annotations", image_id=77),
        "12 x ann_id: of another image: instances.json of another release",
    ),
    "a wrong split_by": (
        "refcoco",
        lambda folder: (folder / "refcoco/refs(unc).p").rename(folder / "refcoco/refs(umd).p"),
        "found refs(umd).p, expected refs(unc).p or refs(google).p",
    ),
    "unknown categories": (
        "lvis",
        lambda folder: change(folder / LVIS, "annotations", category_id=4000),
        "lvis: 3 of 4 images and annotations are lost to broken rows (3 x category_id: unknown category_id)",
    ),
    "images of another size": (
        "lvis",
        lambda folder: change(folder / LVIS, "images", width=640, height=480),
        "segmentation: RLE size [96, 128] is not the image's [480, 640]",
    ),
    "a phrase's box outside": (
        "flickr30k",
        lambda folder: (folder / "Annotations/7.xml").write_text(
            (folder / "Annotations/7.xml").read_text().replace("<xmax>38", "<xmax>380")
        ),
        "flickr30k: 1 of 2 questions are lost to broken rows (1 x bndbox: box outside the image)",
    ),
    "an image without its phrases": (
        "flickr30k",
        lambda folder: shutil.rmtree(folder / "flickr30k-images"),
        "flickr30k: 3 of 3 questions are lost to broken rows (1 x image: image is missing)",
    ),
    "an image without its queries": (
        "relevance",
        lambda folder: (folder / "images/4.jpg").unlink(),
        "relevance: 2 of 4 questions are lost to broken rows (1 x file_name: image is missing)",
    ),
    "a picture with all its questions": (
        "refcoco",
        lambda folder: (folder / "images/train2014/COCO_train2014_000000000001.jpg").write_bytes(b"no image"),
        "refcoco: 3 of 12 questions are lost to broken rows (1 x image: not readable as an image (UserError))",
    ),
    "a picture with all its annotations": (
        "lvis",
        lambda folder: (folder / "images/000000000003.jpg").write_bytes(b"no image"),
        "lvis: 4 of 4 images and annotations are lost to broken rows (1 x image: not readable as an image (UserError))",
    ),
    "missing images of annotations": (
        "lvis",
        lambda folder: shutil.rmtree(folder / "images"),
        "lvis: 4 of 4 images and annotations are lost to broken rows (1 x file_name: image is missing)",
    ),
    "questions without images": (
        "vqa",
        lambda folder: shutil.rmtree(folder / "val2014"),
        "vqa: 3 of 3 questions are lost to broken rows (3 x image_id: image is missing)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_of_broken_rows_is_one_line_with_counts(
    fault: str, folders: dict[str, Path], tmp_path: Path, params: Params
) -> None:
    name, spoil, words = FAULTS[fault]
    spoil(folders[name])
    with pytest.raises(UserError) as error:
        build({name: folders[name]}, tmp_path / "data", params)
    assert words in str(error.value) and "\n" not in str(error.value) and str(folders[name]) in str(error.value)


def test_real_rows_are_indexed(samples: Path, tmp_path: Path, params: Params) -> None:
    generous = params.model_copy(update={"quality": params.quality.model_copy(update={"max_reject_fraction": 1.0})})
    names = {"refcoco": "refcoco", "flickr30k": "flickr30k_entities", "lvis": "lvis"}
    report = build({name: samples / folder for name, folder in names.items()}, tmp_path / "data", generous)
    assert report.numbers["images"] == 12 and report.rejected == {"lvis: image is missing": 97}
