"""The ceiling of LVIS's AP, on objects whose best proposals are known."""

from pathlib import Path

import numpy as np
import pytest

from ml.evaluation.metrics.average_precision import lvis_dataset
from ml.evaluation.metrics.lvis_ceiling import lvis_ceiling
from ml.evaluation.predictions.files import as_tables, prediction_files
from ml.masks import Masks

SIZE = (40, 60)
SIZES = {"lvis/0.jpg": SIZE, "lvis/1.jpg": SIZE}
FIRST, SECOND = [2.0, 3.0, 10.0, 10.0], [30.0, 5.0, 20.0, 20.0]


def rectangle(box: list[float]) -> str:
    x, y, w, h = (int(value) for value in box)
    mask = np.zeros((1, *SIZE), bool)
    mask[0, y : y + h, x : x + w] = True
    return Masks.from_dense(mask).to_strings()[0]


def ceiling(folder: Path, proposed: list[list[float]], kind: str) -> float:
    """Of two cats in the first image, one dog where the first cat is, and an image without either."""
    answers = [("lvis/0.jpg", 1, [FIRST, SECOND]), ("lvis/0.jpg", 2, [FIRST]), ("lvis/1.jpg", 1, [])]
    truth = [
        {"image": image, "category_id": category, "exhaustive": True, "boxes": boxes}
        | {"counts": [rectangle(box) for box in boxes], "areas": [box[2] * box[3] for box in boxes]}
        for image, category, boxes in answers
    ]
    rows = [
        {"image": image, "boxes": boxes, "counts": [rectangle(box) for box in boxes]}
        | dict.fromkeys(("predicted_ious", "stability_scores"), [1.0] * len(boxes))
        for image, boxes in {"lvis/0.jpg": proposed, "lvis/1.jpg": [FIRST], "refcoco/0.jpg": [FIRST]}.items()
    ]
    with prediction_files(folder) as append:
        append(as_tables({"proposals": rows}))
    return lvis_ceiling(lvis_dataset(SIZES, {1: "f", 2: "f"}, truth), folder / "proposals.parquet", SIZES, kind)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_a_proposal_serves_every_category_and_one_object_of_each(tmp_path: Path, kind: str) -> None:
    assert ceiling(tmp_path, [FIRST, SECOND, [0, 0, 60, 40]], kind) == pytest.approx(1)
    half = 51 / 101  # precision 1 up to a recall of 0.5, in 101 steps
    assert ceiling(tmp_path, [FIRST], kind) == pytest.approx((half + 1) / 2)
    assert ceiling(tmp_path, [], kind) == pytest.approx(0)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_a_sloppy_proposal_counts_up_to_its_iou(tmp_path: Path, kind: str) -> None:
    sloppy = [FIRST[0], FIRST[1], 10.0, 7.0]  # IoU 0.7: five of the ten thresholds
    found = ceiling(tmp_path, [sloppy, [3.0, 3.0, 5.0, 5.0], SECOND], kind)
    cats = (5 * 1 + 5 * 51 / 101) / 10
    assert found == pytest.approx((cats + 0.5) / 2)
