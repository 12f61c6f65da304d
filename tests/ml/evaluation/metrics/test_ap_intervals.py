"""Weighed images: the AP of the whole set with weights of one, of a set with copies otherwise."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from ml.bench.evaluation import drawn
from ml.evaluation.metrics.ap_intervals import ap_intervals, match, mean_precision
from ml.evaluation.metrics.average_precision import lvis_ap

SAME = 1e-12


@pytest.fixture(params=range(4))
def scene(request: pytest.FixtureRequest) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Drawn images with a category that is not labelled to the last instance, no two detections scored alike."""
    dataset, detections = drawn(np.random.default_rng(request.param), 12, 9)
    for image in dataset["images"][::3]:
        image["not_exhaustive_category_ids"] = [1, 2]
    return dataset, [{**d, "score": d["score"] + i * 1e-9} for i, d in enumerate(detections)]


def test_weights_of_one_give_the_ap_itself(scene: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    dataset, detections = scene
    found = mean_precision(list(match(dataset, detections, "bbox")), np.ones(12))
    official = lvis_ap(dataset, detections, "bbox")
    assert found.mean() == pytest.approx(official["AP"], abs=SAME)
    assert found[0] == pytest.approx(official["AP50"], abs=SAME) and 0 < found.mean() < 1


def test_a_weight_is_a_number_of_copies(scene: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    dataset, detections = scene
    weights = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12))
    copies = {"images": [], "annotations": [], "categories": dataset["categories"]}
    answers = []
    for place, times in enumerate(weights):
        for copy in range(times):
            number, old = 100 * copy + place + 1, dataset["images"][place]["id"]
            copies["images"].append({**deepcopy(dataset["images"][place]), "id": number})
            mine = [a for a in dataset["annotations"] if a["image_id"] == old]
            start = len(copies["annotations"]) + 1
            copies["annotations"] += [{**a, "image_id": number, "id": start + n} for n, a in enumerate(mine)]
            answers += [{**d, "image_id": number} for d in detections if d["image_id"] == old]
    found = mean_precision(list(match(dataset, detections, "bbox")), weights.astype(float))
    assert found.mean() == pytest.approx(lvis_ap(copies, answers, "bbox")["AP"], abs=1e-9)


def test_the_interval_holds_the_value_and_is_the_same_again(scene: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    found, again = (ap_intervals(*scene, "bbox", 0) for _ in range(2))
    low, high = found["AP"]
    assert low < lvis_ap(*scene, "bbox")["AP"] < high and found == again


def test_the_interval_is_around_the_value() -> None:
    """One image a category: every draw's AP is above the whole set's, since what lacks its image drops out."""
    dataset, detections = drawn(np.random.default_rng(7), 30, 60)
    whole, (low, high) = lvis_ap(dataset, detections, "bbox")["AP"], ap_intervals(dataset, detections, "bbox", 0)["AP"]
    assert low < whole < high
    assert abs((low + high) / 2 - whole) < 0.25 * (high - low)
