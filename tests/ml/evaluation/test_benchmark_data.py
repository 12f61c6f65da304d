"""The index: questions apart from answers, no absolute path, and folders that cannot be used."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ml.errors import UserError
from ml.evaluation.benchmark_data import build, image_path
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


def test_real_rows_are_indexed(samples: Path, tmp_path: Path, params: Params) -> None:
    generous = params.model_copy(update={"quality": params.quality.model_copy(update={"max_reject_fraction": 1.0})})
    names = {"refcoco": "refcoco", "flickr30k": "flickr30k_entities", "lvis": "lvis"}
    report = build({name: samples / folder for name, folder in names.items()}, tmp_path / "data", generous)
    assert report.numbers["images"] == 12 and report.rejected == {"lvis: image is missing": 97}
