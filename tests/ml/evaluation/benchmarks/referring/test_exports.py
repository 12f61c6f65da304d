"""Exports of RefCOCO: a line a row, ids that are ids, and boxes that lie in their pictures."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ml.errors import UserError
from ml.evaluation.benchmarks.index import build
from ml.evaluation.benchmarks.referring.refcoco import read_refcoco
from ml.params import Params

BOXES = [[400, 300, 200, 150], [10, 20, 100, 80], [320, 100, 300, 200], [5, 5, 600, 400]]
HEAD = "ref_id,img_id,sent_id,sent,bbox\n"


def write(folder: Path, text: str, suffix: str = "csv") -> Path:
    """A folder with an export of four pictures of 640x480."""
    for i in range(4):
        path = folder / "images" / "train2014" / f"COCO_train2014_{i:012d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (640, 480), (40 * i, 90, 20)).save(path)
    (folder / f"refcoco_unc_val.{suffix}").write_bytes(text.encode())
    return folder


def rows(boxes: list[Any]) -> str:
    return HEAD + "".join(f'{i},{i % 4},{i},thing {i},"{box}"\n' for i, box in enumerate(boxes))


def generous(params: Params) -> Params:
    return params.model_copy(update={"quality": params.quality.model_copy(update={"max_reject_fraction": 0.9})})


def test_boxes_are_held_to_the_pictures(tmp_path: Path, params: Params) -> None:
    boxes = [
        *BOXES,
        [9000, 9000, 50, 50],
        [600, 400, 50, 50],
        [640, 5, 0.5, 5],
        [0, 0, 640.6, 480.6],
        [0.1, 0.2, 0.3, 0.4],
    ]
    folder = write(tmp_path / "raw", rows(boxes))
    report = build({"refcoco": folder}, tmp_path / "data", generous(params))
    kept = pq.read_table(tmp_path / "data" / "truth" / "refcoco.parquet").to_pylist()
    assert {row["query_id"] for row in kept} == {"0_0", "1_1", "2_2", "3_3", "7_7"}
    assert report.rejected == {
        "refcoco: box outside the image": 3,
        "refcoco: box in 0..1; expected pixels": 1,
    }


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([[x, y, x + w, y + h] for x, y, w, h in BOXES], "4 of 4 boxes fit their pictures as corners"),
        ([*([x, y, x + w, y + h] for x, y, w, h in BOXES), *BOXES[:1]], "boxes fit their pictures as corners"),
        ([[x / 640, y / 480, w / 640, h / 480] for x, y, w, h in BOXES], "4 of 4 boxes lie in 0..1"),
    ],
)
def test_a_file_of_other_boxes_is_refused_as_a_whole(
    tmp_path: Path, params: Params, boxes: list[Any], words: str
) -> None:
    folder = write(tmp_path / "raw", rows(boxes))
    with pytest.raises(UserError) as error:
        build({"refcoco": folder}, tmp_path / "data", generous(params))
    told = str(error.value)
    assert words in told and told.startswith(f"{folder}/refcoco_unc_val.csv: ")
    assert "expected bbox as [x, y, width, height] in pixels" in told and len(told) - len(str(folder)) < 240


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('9,1,9,"man in white,"[10, 20, 100, 80]"', "a quote too many or too few"),
        ('9,1,9,man in white","[10, 20, 100, 80]"', "a quote too many or too few"),
        ('9,1,9,"the stop" sign,"[10, 20, 100, 80]"', "not readable as CSV"),
        ('9,1,9,man, in white,"[10, 20, 100, 80]"', "not as many fields as columns (5)"),
        ("9,1,9,man", "not as many fields as columns (5)"),
        (f'9,1,9,{"x" * 140_000},"[10, 20, 100, 80]"', "not readable as CSV"),
        ('9,1,9,th\0ing,"[10, 20, 100, 80]"', "a NUL byte in the text"),
        ('9,1,9, ,"[10, 20, 100, 80]"', "empty text"),
        (f'9,1,9,man,"{"[" * 100_000}"', "nested too deeply"),
        ("9,1,9,man,5", "no list"),
        ('9,1,9,man,"[1, 2, NaN, 4]"', "no finite number"),
        ('9,1.9,9,man,"[1, 2, 3, 4]"', "no integer id"),
        ('1,1,1,another,"[1, 2, 3, 4]"', "comes twice; the first stays"),
    ],
)
def test_a_broken_line_costs_itself_and_is_named(tmp_path: Path, line: str, reason: str) -> None:
    lines = rows(BOXES * 2000).splitlines()
    folder = write(tmp_path, "\n".join([*lines[:3], line, *lines[3:]]))
    (benchmark,) = read_refcoco(folder)
    assert len(benchmark.examples) == 8000 and benchmark.lost == 1
    (reject,) = benchmark.rejected
    assert reject.reason.startswith(reason) or reason in reject.reason
    assert reject.item in ("refcoco_unc_val.csv, line 4", "1_1")


@pytest.mark.parametrize(
    "text", ["\ufeff" + rows(BOXES), rows(BOXES).replace("\n", "\r\n"), rows(BOXES).replace("\n", "\r")]
)
def test_other_ends_of_lines_and_a_byte_order_mark_are_read(tmp_path: Path, text: str) -> None:
    (benchmark,) = read_refcoco(write(tmp_path, text))
    assert len(benchmark.examples) == 4 and not benchmark.rejected


@pytest.mark.parametrize(
    "values",
    [
        {"sent": None},
        {"sent": ["a", "b"]},
        {"sent": 17},
        {"img_id": 1.9},
        {"img_id": True},
        {"img_id": float("inf")},
        {"ref_id": [1]},
        {"sent_id": None},
        {"bbox": [1, 2, 10**400, 4]},
        {"bbox": [1, 2, True, 4]},
        {"bbox": None},
    ],
)
def test_a_broken_row_of_jsonl_costs_itself(tmp_path: Path, values: dict[str, Any]) -> None:
    row = {"ref_id": 1, "img_id": 1, "sent_id": 1, "sent": "the thing", "bbox": [1, 2, 30, 40]}
    found = [row, row | {"ref_id": 2} | values, row | {"ref_id": 3, "img_id": "0003", "sent": "a\u2028thing\x0c!"}]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in found)
    (benchmark,) = read_refcoco(write(tmp_path, f"{text}\n5\n[]\nnot\n" + '{"a":' * 100_000, "jsonl"))
    assert [e.query_id for e in benchmark.examples] == ["1_1", "3_1"] and benchmark.lost == 5
    assert benchmark.examples[1].text == "a\u2028thing\x0c!"
    assert benchmark.rejected[0].field == next(iter(values))


def test_what_is_wrong_with_a_whole_file_is_one_line(tmp_path: Path) -> None:
    for text, words in (
        (rows(BOXES).replace("bbox", "box"), "line 1: no 'bbox'"),
        (rows(BOXES).replace("ref_id", "bbox,ref_id"), "line 1: a column's name comes twice"),
        (rows(BOXES).replace("sent_id", '"sent_id'), "line 1: a quote too many or too few"),
    ):
        with pytest.raises(UserError) as error:
            read_refcoco(write(tmp_path, text))
        assert words in str(error.value)
    (tmp_path / "refcoco_unc_val.csv").write_bytes(rows(BOXES).replace("thing 2", "caf\xe9").encode("latin-1"))
    with pytest.raises(UserError, match="not readable as UTF-8"):
        read_refcoco(tmp_path)
    write(tmp_path, rows(BOXES))
    write(tmp_path, "", "jsonl")
    with pytest.raises(UserError, match="both hold refcoco val; expected one"):
        read_refcoco(tmp_path)
