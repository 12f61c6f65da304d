"""The absence benchmark's reader."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ml.errors import UserError
from ml.evaluation.benchmarks.absence import read_absence
from ml.evaluation.benchmarks.index import build
from ml.params import Params

QUERIES = [
    {"text": " a boat ", "kind": "name", "present": False},
    {"text": "the car left of the house", "kind": "relation", "present": True},
]


def line(number: int, **values: Any) -> dict[str, Any]:
    return {"file_name": f"{number}.jpg", "image_id": number, "queries": QUERIES, **values}


def write(folder: Path, *rows: Any) -> None:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "absence_val.jsonl").write_text(text + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, one of them beside the annotations."""
    path = tmp_path / "absence"
    (path / "images").mkdir(parents=True)
    for place in ("images/8.jpg", "9.jpg"):
        Image.new("RGB", (32, 24), (90, 120, len(place))).save(path / place)
    write(path, line(8), line(9, image_id="nine"))
    return path


def test_presence_is_truth_and_an_image_lies_in_images_or_beside(folder: Path) -> None:
    (benchmark,) = read_absence(folder)
    found = [(e.query_id, e.split, e.image, e.text, e.kind, e.truth) for e in benchmark.examples]
    assert found[:2] == [
        ("8_0", "val", "images/8.jpg", "a boat", "name", {"present": False}),
        ("8_1", "val", "images/8.jpg", "the car left of the house", "relation", {"present": True}),
    ]
    assert [(row[0], row[2]) for row in found[2:]] == [("nine_0", "9.jpg"), ("nine_1", "9.jpg")]
    assert benchmark.images == {"images/8.jpg": None, "9.jpg": None} and not benchmark.rejected


def test_the_index_keeps_presence_apart_from_the_questions(folder: Path, tmp_path: Path, params: Params) -> None:
    report = build({"absence": folder}, tmp_path / "data", params)
    assert report.numbers["images"] == 2 and not report.rejected
    assert "present" not in pq.read_schema(tmp_path / "data" / "queries" / "absence.parquet").names
    truth = pq.read_table(tmp_path / "data" / "truth" / "absence.parquet").to_pylist()
    assert truth[:2] == [{"query_id": "8_0", "present": False}, {"query_id": "8_1", "present": True}]


@pytest.mark.parametrize("present", [None, 0, 1, "true", [True], {}, float("nan")])
def test_a_presence_that_is_none_is_refused_by_name(folder: Path, present: Any) -> None:
    write(folder, line(8, queries=[QUERIES[0] | {"present": present}, QUERIES[1]]), line(9))
    (benchmark,) = read_absence(folder)
    (reject,) = benchmark.rejected
    assert (reject.item, reject.field, reject.reason) == ("8_0", "present", "neither true nor false")
    assert reject.value == (present if isinstance(present, str) else repr(present))
    assert [e.query_id for e in benchmark.examples] == ["8_1", "9_0", "9_1"] and benchmark.lost == 1


def changed(**values: Any) -> Callable[[dict[str, Any]], None]:
    """Gives the first query of a line other values."""
    return lambda row: row.update(queries=[QUERIES[0] | values, QUERIES[1]])


@pytest.mark.parametrize(
    ("change", "field", "reason", "lost"),
    [
        (changed(text=" "), "text", "empty text", 1),
        (changed(text=5), "text", "no text", 1),
        (changed(kind=""), "kind", "empty text", 1),
        (lambda row: row.update(queries=[QUERIES[0], {"text": "car", "kind": "name"}]), "present", "missing", 1),
        (lambda row: row.update(queries=[5, QUERIES[1]]), "query", "no object", 1),
        (lambda row: row.update(queries="car"), "queries", "no list", 1),
        (lambda row: row.pop("queries"), "queries", "missing", 1),
        (lambda row: row.update(image_id=[1]), "image_id", "no integer id", 2),
        (lambda row: row.update(file_name="gone.jpg"), "file_name", "image is missing", 2),
        (lambda row: row.update(file_name="x" * 5000), "file_name", "image is missing", 2),
        (lambda row: row.update(file_name="../8.jpg"), "file_name", "a path that leaves the benchmark's folder", 2),
    ],
)
def test_broken_rows_are_refused_with_what_is_lost(
    folder: Path, change: Callable[[dict[str, Any]], None], field: str, reason: str, lost: int
) -> None:
    row = line(8)
    change(row)
    write(folder, row, line(9))
    (benchmark,) = read_absence(folder)
    assert [(r.field, r.reason) for r in benchmark.rejected] == [(field, reason)] and benchmark.lost == lost
    assert {"9_0", "9_1"} <= {e.query_id for e in benchmark.examples}


def test_of_two_lines_with_one_picture_or_one_id_the_first_stays(folder: Path) -> None:
    other = [QUERIES[0], QUERIES[1] | {"present": False}]
    write(folder, line(8), "", line(8, image_id=7), line(9, image_id=8, queries=other), '{"queries": [')
    (benchmark,) = read_absence(folder)
    assert [(r.item, r.field, r.reason) for r in benchmark.rejected[:3]] == [
        ("line 3", "file_name", "comes twice; the first stays"),
        ("8_0", "id", "comes twice; the first stays"),
        ("8_1", "id", "comes twice; the first stays"),
    ]
    assert benchmark.rejected[3].reason.startswith("not readable as JSON")
    assert [e.image for e in benchmark.examples] == ["images/8.jpg"] * 2 and benchmark.lost == 2 + 1 + 1 + 1


def test_a_missing_file_is_one_line_that_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absence_val\.jsonl.*params\.benchmarks\.absence") as error:
        read_absence(tmp_path)
    assert "\n" not in str(error.value)
