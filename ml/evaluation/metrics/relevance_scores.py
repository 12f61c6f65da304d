"""Scores of the relevance benchmark: whole relevance vectors over given masks, not single answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.evaluation.metrics import basics as metrics
from ml.evaluation.metrics.outcomes import image_sizes
from ml.evaluation.predictions.files import Row, read
from ml.masks import Masks

RELEVANT = 0.5  # the seed's threshold, for predictions and truth alike


@dataclass(frozen=True)
class Judged:
    """One query's relevance over the N masks of its image: predicted and true float64 [N] in [0, 1]."""

    image: str
    kind: str
    predicted: NDArray[np.float64]
    truth: NDArray[np.float64]
    parents: list[int]
    grounding_iou: float  # of the union of relevant masks, predicted against true; nan where both are empty

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which masks are judged as the truth has them, relevant or not: bool [N]."""
        return (self.predicted > RELEVANT) == (self.truth > RELEVANT)


def judge(data: Path, predictions: Path) -> list[Judged]:
    """Every query of the relevance benchmark with its prediction; without one, nothing counts as relevant."""
    truth = read(data / "truth" / "relevance.parquet")
    predicted = read(predictions / "relevance.parquet")
    regions = _by_image(data / "truth" / "relevance_regions.parquet")
    given, sizes = _by_image(data / "regions" / "relevance.parquet"), image_sizes(data)
    masks = {image: Masks.parse(row["counts"], sizes[image]) for image, row in given.items()}
    judged = []
    for query in pq.read_table(data / "queries" / "relevance.parquet").to_pylist():
        image = query["image"]
        true = np.array(truth[query["query_id"]]["relevance"], float)
        row = predicted.get(query["query_id"])
        ours = np.array(row["relevance"], float) if row else np.zeros(len(true))
        iou = _union_iou(masks[image], ours > RELEVANT, true > RELEVANT)
        judged.append(Judged(image, query["kind"], ours, true, regions[image]["parents"], iou))
    return judged


def relevance_scores(judged: Sequence[Judged]) -> dict[str, float]:
    """The seed's metrics over all (query, mask) pairs.

    Most masks are irrelevant to most queries, so accuracy stands beside what answering "nothing" would reach and
    beside balanced accuracy. Hierarchical consistency (see `metrics.parent_agreements`) stands beside the truth's own.
    """
    predicted = np.concatenate([j.predicted for j in judged])
    truth = np.concatenate([j.truth for j in judged])
    positive = truth > RELEVANT
    hit = (predicted > RELEVANT) == positive
    ious = np.array([j.grounding_iou for j in judged])
    return {
        "accuracy": float(hit.mean()),
        "balanced accuracy": float(np.mean([hit[side].mean() for side in (positive, ~positive) if side.any()])),
        "all-zero accuracy": float((~positive).mean()),
        "pearson": metrics.pearson(predicted, truth),
        "spearman": metrics.spearman(predicted, truth),
        "calibration error": metrics.calibration_error(predicted, positive),
        "grounding IoU": float(np.nanmean(ious)) if np.isfinite(ious).any() else float("nan"),
        "hierarchical consistency": _consistency([(j.predicted, j.parents) for j in judged]),
        "hierarchical consistency of the truth": _consistency([(j.truth, j.parents) for j in judged]),
    }


def relevance_intervals(judged: Sequence[Judged], seed: int) -> dict[str, tuple[float, float]]:
    """95% intervals of the scores that sums over images determine, resampling images."""
    images = [j.image for j in judged]
    drawn = metrics.resampled(images, seed) @ metrics.summed_by(images, [_sums(j) for j in judged])
    n, hits, found, positive, avoided, x, y, xx, yy, xy, iou, ious, agreed, parents = drawn.T
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((n * xx - x * x) * (n * yy - y * y))
        values = {
            "accuracy": hits / n,
            "balanced accuracy": (found / positive + avoided / (n - positive)) / 2,
            "pearson": (n * xy - x * y) / spread,
            "grounding IoU": iou / ious,
            "hierarchical consistency": agreed / parents,
        }
    return {name: metrics.interval(value) for name, value in values.items() if np.isfinite(value).any()}


def _sums(judged: Judged) -> list[float]:
    """What `relevance_intervals` adds up: pairs, hits, hits by side, moments, IoU, agreement of parents."""
    x, y, positive = judged.predicted, judged.truth, judged.truth > RELEVANT
    sides = [judged.correct.sum(), judged.correct[positive].sum(), positive.sum(), judged.correct[~positive].sum()]
    known = bool(np.isfinite(judged.grounding_iou))
    agreements = metrics.parent_agreements(x, judged.parents)
    tail = [judged.grounding_iou if known else 0.0, known, agreements.sum(), len(agreements)]
    return [float(v) for v in (len(x), *sides, x.sum(), y.sum(), x @ x, y @ y, x @ y, *tail)]


def level_accuracy(data: Path, predictions: Path) -> float:
    """The share of given masks whose level (part, object, group, scene), assigned from geometry, is the true one."""
    regions = _by_image(data / "truth" / "relevance_regions.parquet")
    levels = {row["image"]: row["levels"] for row in read(predictions / "relevance.parquet").values()}
    pairs = [
        (ours, true)
        for image, row in sorted(regions.items())
        for ours, true in zip(levels.get(image, [""] * len(row["levels"])), row["levels"], strict=True)
    ]
    return float(np.mean([ours == true for ours, true in pairs]))


def _consistency(rows: Sequence[tuple[NDArray[np.float64], list[int]]]) -> float:
    agreements = np.concatenate([metrics.parent_agreements(relevance, parents) for relevance, parents in rows])
    return float(agreements.mean()) if len(agreements) else float("nan")


def _union_iou(masks: Masks, ours: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    if not ours.any() and not true.any():
        return float("nan")
    if not ours.any() or not true.any():
        return 0.0
    return float(masks.select(ours).union().iou(masks.select(true).union())[0, 0])


def _by_image(path: Path) -> dict[str, Row]:
    return {row["image"]: row for row in pq.read_table(path).to_pylist()}
