"""Scores of predictions against truth: pure functions on arrays.

Fractions, not percentages; boxes are xywh in pixels; a metric of nothing is nan.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ml.masks import Masks

Array = NDArray[np.float64]


def box_iou(a: ArrayLike, b: ArrayLike) -> Array:
    """IoU of each pair of boxes, float64 [n, m]; 0 where both are empty. Boxes xywh, [n, 4] and [m, 4]."""
    a, b = np.asarray(a, float).reshape(-1, 1, 4), np.asarray(b, float).reshape(1, -1, 4)
    corner = np.maximum(a[..., :2], b[..., :2])
    sides = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - corner
    common = np.prod(np.maximum(sides, 0), axis=-1)
    either = np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - common
    return np.divide(common, either, out=np.zeros_like(common), where=either > 0)


def best_iou(predicted: ArrayLike, truth: ArrayLike) -> Array:
    """For each predicted box, its best IoU over the true ones (AnyBox): float64 [n]; 0 without true boxes."""
    iou = box_iou(predicted, truth)
    return iou.max(1) if iou.shape[1] else np.zeros(len(iou))


def merged_box(boxes: ArrayLike) -> Array:
    """The smallest box around all boxes (MergedBox): float64 [4]."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    low = boxes[:, :2].min(0)
    return np.concatenate([low, (boxes[:, :2] + boxes[:, 2:]).max(0) - low])


def hit_within(ious: ArrayLike, k: int, threshold: float = 0.5) -> float:
    """1.0 if one of the first k answers has an IoU of at least `threshold`: an addend of R@k (k = 1: of acc)."""
    return float((np.asarray(ious, float)[:k] >= threshold).any())


def point_hit(point: Sequence[float], boxes: ArrayLike) -> float:
    """1.0 if the point (x, y) lies in one of the boxes: an addend of the pointing game."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    offset = np.asarray(point, float) - boxes[:, :2]
    return float(((offset >= 0) & (offset <= boxes[:, 2:])).all(1).any())


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
    a, b = np.asarray(a, float).ravel(), np.asarray(b, float).ravel()
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else float("nan")


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation; ties share their mean rank."""
    return pearson(rankdata(np.asarray(a).ravel()), rankdata(np.asarray(b).ravel()))


def calibration_error(scores: ArrayLike, positive: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error over `bins` bins of equal width (Guo et al., 2017)."""
    scores, positive = np.asarray(scores, float).ravel(), np.asarray(positive, float).ravel()
    index = np.minimum((scores * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    gap = np.abs(np.bincount(index, scores, bins) - np.bincount(index, positive, bins))
    return float(gap.sum() / counts.sum())


def parent_agreements(relevance: ArrayLike, parents: ArrayLike) -> Array:
    """How far each parent's relevance agrees with its parts': 1 - |r(parent) - max r(children)|, [parents].

    A query that concerns a part concerns the object that has it, and an object is as relevant as the most relevant
    thing it holds. `parents` holds each mask's parent index, -1 for none; relevance is in [0, 1].
    """
    relevance, parents = np.asarray(relevance, float), np.asarray(parents, int)
    strongest = np.full(len(relevance), -np.inf)
    has = parents >= 0
    np.maximum.at(strongest, parents[has], relevance[has])
    with_children = np.isfinite(strongest)
    return 1 - np.abs(relevance[with_children] - strongest[with_children])


def bootstrap(sums: ArrayLike, statistic: str, groups: ArrayLike, seed: int, draws: int = 1000) -> tuple[float, float]:
    """A 95% percentile interval of a ratio of sums, resampling whole images.

    Questions to one image stand or fall together, so that drawing single questions would claim too much certainty.

    Args:
        sums: [n, 2], numerator and denominator of each question (hit and 1 for an accuracy).
        statistic: "ratio": sum of numerators / sum of denominators; "mean": mean of the quotients.
        groups: [n], the image of each question.
    """
    sums = np.asarray(sums, float).reshape(-1, 2)
    if statistic == "mean":
        sums = np.stack([sums[:, 0] / np.maximum(sums[:, 1], 1e-12), np.ones(len(sums))], 1)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    per_image = np.stack([np.bincount(index, column, len(names)) for column in sums.T], 1)
    weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    drawn = weights @ per_image
    ratios = drawn[:, 0] / np.maximum(drawn[:, 1], 1e-12)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)
