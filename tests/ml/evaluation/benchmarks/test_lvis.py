"""LVIS readers: both layouts, federated truth, and rows that do not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml.errors import UserError
from ml.evaluation.benchmarks.lvis import category_text, read_lvis


def test_names_become_words() -> None:
    assert category_text("car_(automobile)") == "car" and category_text("baseball_bat") == "baseball bat"


def test_truth_is_federated(folders: dict[str, Path]) -> None:
    (benchmark,) = read_lvis(folders["lvis"])
    assert [e.text for e in benchmark.examples] == ["car", "ball", "baseball bat"]
    answers = {row["category_id"]: row for row in benchmark.answers}
    assert [len(answers[c]["boxes"]) for c in (1, 2, 3)] == [2, 1, 0]
    assert [answers[c]["exhaustive"] for c in (1, 2, 3)] == [True, False, True]


def test_the_real_file_of_v05_is_read(samples: Path) -> None:
    (benchmark,) = read_lvis(samples / "lvis")
    raw = json.loads((samples / "lvis" / "lvis_val_100.json").read_text())
    assert len(benchmark.examples) == 1230 and len(benchmark.images) == 3
    assert {r.reason for r in benchmark.rejected} == {"image is missing"} and len(benchmark.rejected) == 97
    shown = {int(Path(name).stem) for name in benchmark.images}
    wanted = [a for a in raw["annotations"] if a["image_id"] in shown]
    assert sum(len(row["boxes"]) for row in benchmark.answers) == len(wanted)
    by_box = {
        tuple(box): area for row in benchmark.answers for box, area in zip(row["boxes"], row["areas"], strict=True)
    }
    assert by_box == {tuple(a["bbox"]): a["area"] for a in wanted}


def test_rows_that_do_not_fit_are_rejected(folders: dict[str, Path]) -> None:
    path = folders["lvis"] / "lvis_v1_val.json"
    raw = json.loads(path.read_text())
    raw["annotations"][0]["category_id"] = 99
    raw["annotations"][1]["segmentation"]["size"] = [5, 5]
    raw["annotations"][2]["bbox"] = [1, 2, 3]
    path.write_text(json.dumps(raw))
    (benchmark,) = read_lvis(folders["lvis"])
    reasons = [reject.reason for reject in benchmark.rejected]
    assert reasons[0] == "unknown category_id" and "size" in reasons[1] and reasons[2] == "not four numbers"


def test_unknown_absent_categories_and_boxes_outside_are_refused(folders: dict[str, Path]) -> None:
    path = folders["lvis"] / "lvis_v1_val.json"
    raw = json.loads(path.read_text())
    raw["images"][0]["neg_category_ids"] = [3, 1300]
    raw["annotations"][0]["bbox"] = [120, 90, 40, 40]
    path.write_text(json.dumps(raw))
    (benchmark,) = read_lvis(folders["lvis"])
    reasons = [(reject.field, reject.value, reject.reason) for reject in benchmark.rejected]
    assert reasons[0] == ("neg_category_ids", "1300", "unknown category_id")
    assert reasons[1][2] == "box outside the image" and len(benchmark.answers) == 3


def test_a_folder_without_one_annotation_file_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found none"):
        read_lvis(tmp_path)
    (folders["lvis"] / "lvis_v1_val.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="not an LVIS annotation file"):
        read_lvis(folders["lvis"])


BROKEN: list[tuple[str, Any, str]] = [
    ("bbox", [8, 8, 38, 28], "not the box of its segmentation"),
    ("bbox", ["8", 8, 30, 20], "not four numbers"),
    ("bbox", [128, 8, 0.5, 20], "box outside the image"),
    ("area", float("nan"), "no finite number"),
    ("area", -5, "no area"),
    ("area", "600", "no number"),
    ("category_id", [1], "no integer id"),
    ("image_id", True, "no integer id"),
    ("image_id", {}, "no integer id"),
    ("id", 1.9, "no integer id"),
    ("segmentation", {"size": 5, "counts": "PR1"}, "RLE size 5 is not the image's [96, 128]"),
    ("segmentation", {"size": [96, 128], "counts": [96 * 128]}, "empty mask"),
    ("segmentation", [[200, 10, 240, 10, 240, 30]], "a polygon outside the image"),
    ("segmentation", [[8, 8, 10**400, 8, 38, 28]], "a polygon is not 3 or more x, y pairs"),
]


@pytest.mark.parametrize(("field", "value", "reason"), BROKEN)
def test_a_broken_annotation_costs_itself(folders: dict[str, Path], field: str, value: Any, reason: str) -> None:
    def spoil(raw: dict[str, Any]) -> None:
        raw["annotations"][0][field] = value

    benchmark = changed(folders["lvis"], spoil)
    assert [(reject.field, reject.reason) for reject in benchmark.rejected] == [(field, reason)]
    assert sum(len(row["boxes"]) for row in benchmark.answers) == 2 and benchmark.lost == 1


@pytest.mark.parametrize("row", [5, None, [], "x" * 100_000, {}, {"id": 9}, [[[[[[[]]]]]]], {"id": 1, "bbox": []}])
def test_a_row_that_is_no_annotation_is_refused_alone(folders: dict[str, Path], row: Any) -> None:
    benchmark = changed(folders["lvis"], lambda raw: raw["annotations"].append(row))
    assert len(benchmark.rejected) == benchmark.lost == 1 and len(benchmark.rejected[0].value) <= 80
    assert sum(len(row["boxes"]) for row in benchmark.answers) == 3


def test_whole_numbers_are_ids_however_they_are_written(folders: dict[str, Path]) -> None:
    def spoil(raw: dict[str, Any]) -> None:
        for item in raw["annotations"]:
            item.update(image_id=str(item["image_id"]), category_id=float(item["category_id"]))

    benchmark = changed(folders["lvis"], spoil)
    assert not benchmark.rejected and {row["query_id"].partition("@")[0] for row in benchmark.answers} == {
        "1",
        "2",
        "3",
    }


@pytest.mark.parametrize(
    ("part", "row", "lost", "reason"),
    [
        ("categories", {"id": 1, "name": "horse", "frequency": "r"}, 1, "comes twice; the first stays"),
        ("images", {"id": 3, "height": 96, "width": 128, "file_name": "x.jpg"}, 1, "comes twice; the first stays"),
        ("images", None, 0, "the same row twice"),
        ("annotations", None, 0, "the same row twice"),
        ("categories", None, 0, "the same row twice"),
        ("categories", {"id": 7, "name": "(unknown)", "frequency": "r"}, 1, "empty text"),
        ("categories", {"id": 7, "name": "horse"}, 1, "missing"),
    ],
)
def test_the_second_of_two_rows_is_refused_and_the_first_stays(
    folders: dict[str, Path], part: str, row: Any, lost: int, reason: str
) -> None:
    before = read_lvis(folders["lvis"])[0]
    benchmark = changed(folders["lvis"], lambda raw: raw[part].append(row or raw[part][0]))
    assert [reject.reason for reject in benchmark.rejected] == [reason] and benchmark.lost == lost
    assert (benchmark.examples, benchmark.answers) == (before.examples, before.answers)


@pytest.mark.parametrize(
    "change",
    [
        {"id": 4},  # the same picture
        {"id": 4, "file_name": "../lvis_v1_val.json", "coco_url": None},
        {"id": 4, "file_name": "/etc/hostname", "coco_url": None},
        {"id": 4, "file_name": "C:\\x.jpg", "coco_url": None},
        {"id": 4, "file_name": "x" * 5000, "coco_url": None},
        {"id": 4, "height": 0},
        {"id": 4, "height": float("inf")},
        {"id": 4, "neg_category_ids": 5},
        {"id": 4, "coco_url": ["x"]},
    ],
)
def test_a_broken_image_is_lost_with_its_annotations(folders: dict[str, Path], change: dict[str, Any]) -> None:
    def spoil(raw: dict[str, Any]) -> None:
        raw["images"].append(raw["images"][0] | change)
        raw["annotations"] += [{**raw["annotations"][0], "id": n, "image_id": 4} for n in (77, 78)]

    benchmark = changed(folders["lvis"], spoil)
    assert [reject.item for reject in benchmark.rejected] == ["image 4"] and benchmark.lost == 3
    assert len(benchmark.images) == 1 and sum(len(row["boxes"]) for row in benchmark.answers) == 3


def test_a_category_is_not_both_there_and_absent(folders: dict[str, Path]) -> None:
    benchmark = changed(folders["lvis"], lambda raw: raw["images"][0].update(neg_category_ids=[1, 3]))
    assert [reject.reason for reject in benchmark.rejected] == ["annotated there, and said to be absent"]


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"images": [' * 50_000, "", '{"images": 5}', "\xff", '{"images": [], "images": []}', "\0"],
)
def test_what_is_no_lvis_file_is_one_short_line(folders: dict[str, Path], content: str) -> None:
    path = folders["lvis"] / "lvis_v1_val.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError) as error:
        read_lvis(folders["lvis"])
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) - len(str(path)) < 200


def changed(folder: Path, spoil: Callable[[dict[str, Any]], Any]) -> Any:
    """What is read of an annotation file after a change of it."""
    path = folder / "lvis_v1_val.json"
    raw = json.loads(path.read_text())
    spoil(raw)
    path.write_text(json.dumps(raw))
    return read_lvis(folder)[0]
