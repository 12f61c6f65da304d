"""Intervals of average precision by resampling images, without matching anything again.

A detection's match depends on its own image alone, so each is matched once; a draw of images then only weighs it by
how often its image was drawn. With every weight at one this is `average_precision.lvis_ap`, which a test holds.

Interpolated precision is a maximum over recalls, so that the AP of a redrawn set, which has fewer different images, is
on average above that of the set: draws are moved by that bias (Efron and Tibshirani, 1993, chapter 10).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from ml.evaluation.metrics import basics as metrics
from ml.evaluation.metrics.average_precision import PER_IMAGE, Annotation, annotated_images, best_of

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
DRAWS = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Matched:
    """The D detections of a category, best first, and its instances.

    Attributes:
        images: int64 [D], index of each detection's image.
        right, wrong: bool [10, D], at each IoU; neither where the category is not labelled to the last instance.
        instances: float64 [images], how many each image holds.
    """

    images: NDArray[np.int64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    instances: Floats


def ap_intervals(
    dataset: dict[str, Any], detections: Sequence[Annotation], kind: str, seed: int
) -> dict[str, tuple[float, float]]:
    """95% intervals of AP and AP50, LVIS's standard protocol, as fractions.

    Args:
        dataset, detections, kind: as for `average_precision.lvis_ap`.
    """
    matched = list(match(dataset, detections, kind))
    draws = metrics.resampled([image["id"] for image in dataset["images"]], seed, DRAWS)
    found = np.array([mean_precision(matched, draw.astype(float)) for draw in draws])
    unbiased = found - np.nanmean(found, 0) + mean_precision(matched, np.ones(len(dataset["images"])))
    return {"AP": metrics.interval(unbiased.mean(1)), "AP50": metrics.interval(unbiased[:, 0])}


def match(dataset: dict[str, Any], detections: Sequence[Annotation], kind: str) -> Iterator[Matched]:
    """Each category that has instances, its detections matched greedily, the best first, within each image."""
    places = {number: i for i, number in enumerate(sorted(image["id"] for image in dataset["images"]))}
    loose = {(image["id"], c) for image in dataset["images"] for c in image["not_exhaustive_category_ids"]}
    annotated, truth, found = annotated_images(dataset), defaultdict(list), defaultdict(list)
    for item in dataset["annotations"]:
        truth[item["category_id"], item["image_id"]].append(item)
    for item in best_of(detections, "image_id", PER_IMAGE):
        found[item["category_id"], item["image_id"]].append(item)
    for category in sorted({category for category, _ in truth}):
        images = sorted(annotated[category])
        yield _category(
            [(places[i], truth[category, i], found[category, i], (i, category) in loose) for i in images],
            kind,
            len(places),
        )


def _category(rows: Sequence[tuple[int, list[Annotation], list[Annotation], bool]], kind: str, count: int) -> Matched:
    instances = np.zeros(count)
    parts: list[tuple[Floats, NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]] = []
    for place, truth, found, loose in rows:
        instances[place] = len(truth)
        right = _matches(truth, found, kind)
        scores = np.array([item["score"] for item in found], float)
        parts.append((scores, np.full(len(found), place), right, ~right & (not loose)))
    scores, images, right, wrong = (np.concatenate(column, -1) for column in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")
    return Matched(images[order], right[:, order], wrong[:, order], instances)


def _matches(truth: list[Annotation], found: list[Annotation], kind: str) -> NDArray[np.bool_]:
    """Bool [10, D]: whether each detection, best first, takes an instance that is still free, at each IoU."""
    right = np.zeros((len(IOUS), len(found)), bool)
    if not truth or not found:
        return right
    name = "bbox" if kind == "bbox" else "segmentation"
    overlaps = coco_mask.iou([item[name] for item in found], [item[name] for item in truth], [0] * len(truth))
    for row, least in zip(right, IOUS, strict=True):
        free = np.array(overlaps)
        for d in range(len(found)):
            best = len(truth) - 1 - int(free[d, ::-1].argmax())  # of equals the last, as COCO has it
            if free[d, best] >= min(least, 1 - 1e-10):
                row[d], free[:, best] = True, -1
    return right


def mean_precision(matched: Sequence[Matched], weights: Floats) -> Floats:
    """Mean over recalls and categories at each IoU, [10], with images weighed by `weights` [images]."""
    curves = [_precision(category, weights) for category in matched if category.instances @ weights > 0]
    return np.mean(curves, 0) if curves else np.full(len(IOUS), np.nan)


def _precision(category: Matched, weights: Floats) -> Floats:
    """Mean precision over the 101 recalls at each IoU, [10]."""
    each = weights[category.images]
    right, wrong = (category.right * each).cumsum(1), (category.wrong * each).cumsum(1)
    recall = right / (category.instances @ weights)
    precision = right / np.maximum(right + wrong, np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    padded = np.zeros((len(envelope), envelope.shape[1] + 1))  # beyond the last detection: 0
    padded[:, :-1] = envelope
    return np.array([row[np.searchsorted(r, RECALLS)].mean() for row, r in zip(padded, recall, strict=True)])
