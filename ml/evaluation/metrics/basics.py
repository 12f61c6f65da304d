"""Scores of predictions against truth: pure functions on arrays.

Fractions, not percentages; boxes are xywh in pixels; a metric of nothing is nan.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ml.masks import Masks

Array = NDArray[np.float64]
Scores = dict[str, float]  # fractions
Intervals = dict[str, tuple[float, float]]
Groups = dict[str, tuple[Scores, int]]  # scores of some questions, and how many they are


def box_iou(a: ArrayLike, b: ArrayLike) -> Array:
    """IoU of each pair of boxes, float64 [n, m]; 0 where both are empty. Boxes xywh, [n, 4] and [m, 4]."""
    rows, columns = _boxes(a)[:, None], _boxes(b)[None]
    corner = np.maximum(rows[..., :2], columns[..., :2])
    far = np.minimum(rows[..., :2] + rows[..., 2:], columns[..., :2] + columns[..., 2:])
    common = np.prod(np.maximum(far - corner, 0), axis=-1)
    either = np.prod(rows[..., 2:], axis=-1) + np.prod(columns[..., 2:], axis=-1) - common
    return np.divide(common, either, out=np.zeros_like(common), where=either > 0)


def best_iou(predicted: ArrayLike, truth: ArrayLike) -> Array:
    """For each predicted box, its best IoU over the true ones (AnyBox): float64 [n]; 0 without true boxes."""
    iou = box_iou(predicted, truth)
    return iou.max(1) if iou.shape[1] else np.zeros(len(iou))


def merged_box(boxes: ArrayLike) -> Array:
    """The smallest box around all boxes (MergedBox): float64 [4]."""
    each = _boxes(boxes)
    low = each[:, :2].min(0)
    return np.concatenate([low, (each[:, :2] + each[:, 2:]).max(0) - low])


def hit_within(ious: ArrayLike, k: int, threshold: float = 0.5) -> float:
    """1.0 if one of the first k answers has an IoU of at least `threshold`: an addend of R@k (k = 1: of acc)."""
    return float((np.asarray(ious, float)[:k] >= threshold).any())


def point_hit(point: Sequence[float], boxes: ArrayLike) -> float:
    """1.0 if the point (x, y) lies in one of the boxes: an addend of the pointing game."""
    each = _boxes(boxes)
    offset = np.asarray(point, float) - each[:, :2]
    return float(((offset >= 0) & (offset <= each[:, 2:])).all(1).any())


def mask_overlap(predicted: str | None, truth: str, size: tuple[int, int]) -> tuple[int, int]:
    """Intersection and union in pixels of two RLE masks; None predicts the empty mask."""
    target = Masks.parse([truth], size)
    if predicted is None:
        return 0, int(target.areas()[0])
    answer = Masks.parse([predicted], size)
    common = int(answer.intersection(target)[0, 0])
    return common, int(answer.areas()[0] + target.areas()[0]) - common


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's correlation; nan where either is constant."""
    x, y = np.asarray(a, float).ravel(), np.asarray(b, float).ravel()
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation; ties share their mean rank."""
    return pearson(rankdata(np.asarray(a).ravel()), rankdata(np.asarray(b).ravel()))


def calibration_error(scores: ArrayLike, positive: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error over `bins` bins of equal width (Guo et al., 2017)."""
    claimed, happened = np.asarray(scores, float).ravel(), np.asarray(positive, float).ravel()
    index = np.minimum((claimed * bins).astype(int), bins - 1)
    gap = np.abs(np.bincount(index, claimed, bins) - np.bincount(index, happened, bins))
    return float(gap.sum() / len(claimed))


def parent_agreements(relevance: ArrayLike, parents: ArrayLike) -> Array:
    """How far each parent's relevance agrees with its parts': 1 - |r(parent) - max r(children)|, [parents].

    A query that concerns a part concerns the object that has it, and an object is as relevant as the most relevant
    thing it holds. `parents` holds each mask's parent index, -1 for none; relevance is in [0, 1].
    """
    values, above = np.asarray(relevance, float), np.asarray(parents, int)
    strongest = np.full(len(values), -np.inf)
    np.maximum.at(strongest, above[above >= 0], values[above >= 0])
    has_children = np.isfinite(strongest)
    return 1 - np.abs(values[has_children] - strongest[has_children])


def bootstrap(
    hits: ArrayLike, totals: ArrayLike, groups: ArrayLike, seed: int, draws: int = 1000
) -> tuple[float, float]:
    """A 95% percentile interval of sum(hits) / sum(totals), resampling whole images.

    Questions to one image stand or fall together, so that drawing single questions would claim too much certainty.

    Args:
        hits, totals: [n], for each question; totals of ones for an accuracy.
        groups: [n], the image of each question.
    """
    columns = np.stack([np.asarray(hits, float), np.asarray(totals, float)], 1)
    drawn = resampled(groups, seed, draws) @ summed_by(groups, columns)
    return interval(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-12))


def resampled(groups: ArrayLike, seed: int, draws: int = 1000) -> NDArray[np.int64]:
    """How often each image is drawn, [draws, images]; images as `np.unique` sorts them."""
    images = len(np.unique(np.asarray(groups)))
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=draws)


def summed_by(groups: ArrayLike, rows: ArrayLike) -> Array:
    """Rows [n, k] summed by image: [images, k], images as `np.unique` sorts them."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    return np.stack([np.bincount(index, column, len(names)) for column in np.asarray(rows, float).T], 1)


def interval(values: ArrayLike) -> tuple[float, float]:
    """The middle 95% of what was drawn; what could not be computed is left out."""
    low, high = np.nanpercentile(np.asarray(values, float), [2.5, 97.5])
    return float(low), float(high)


def _boxes(values: ArrayLike) -> Array:
    return np.asarray(values, float).reshape(-1, 4)
