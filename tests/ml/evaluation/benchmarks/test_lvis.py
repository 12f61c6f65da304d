"""LVIS readers: both layouts, federated truth, and rows that do not fit."""

import json
from pathlib import Path

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
