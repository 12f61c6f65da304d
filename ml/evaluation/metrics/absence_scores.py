"""Scores of the absence benchmark: whether the model says that a thing is not there.

A thing counts as found where the score of the best mask says that it is more likely meant than not. Beside the shares
of errors on either side stands what no threshold decides: the area under the ROC curve of that highest score.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from ml.evaluation.metrics import basics as metrics
from ml.evaluation.metrics.basics import Groups, Intervals, Scores
from ml.evaluation.metrics.relevance_scores import RELEVANT
from ml.evaluation.predictions.files import Row, read


@dataclass(frozen=True)
class Answered:
    """Q questions; `highest`: of each the score of its best mask, 0 without any."""

    images: NDArray[np.str_]
    kinds: NDArray[np.str_]
    highest: NDArray[np.float64]
    present: NDArray[np.bool_]

    def scores(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Scores:
        """The `decisions` of some questions: their places, as often as each counts, or bool [Q]."""
        return decisions(self.highest[rows], self.present[rows])


def absence_scores(data: Path, predictions: Path, seed: int) -> tuple[Scores, Intervals, Groups]:
    """Scores with 95% intervals, resampling images; of each kind those that intervals are of, and its questions.

    Args:
        data: folder of `benchmark_data`.
        predictions: folder with `absence.parquet`.
        seed: of the bootstrap.
    """
    answered = answers(data, predictions)
    scores = decisions(answered.highest, answered.present)
    calibration = {"calibration error": metrics.calibration_error(answered.highest, answered.present)}
    kinds = {str(kind): answered.kinds == kind for kind in np.unique(answered.kinds)}
    groups: Groups = {kind: (answered.scores(of_kind), int(of_kind.sum())) for kind, of_kind in kinds.items()}
    return scores | calibration, _intervals(answered, scores, seed), groups


def answers(data: Path, predictions: Path) -> Answered:
    """Every question with its prediction; without one, and without masks, nothing is found."""
    truth, predicted = read(data / "truth" / "absence.parquet"), read(predictions / "absence.parquet")
    queries = pq.read_table(data / "queries" / "absence.parquet").to_pylist()
    ids = [query["query_id"] for query in queries]
    return Answered(
        np.array([query["image"] for query in queries]),
        np.array([query["kind"] for query in queries]),
        np.array([_highest(predicted.get(query_id)) for query_id in ids], float),
        np.array([truth[query_id]["present"] for query_id in ids], bool),
    )


def decisions(highest: NDArray[np.float64], present: NDArray[np.bool_]) -> Scores:
    """The share of absent things that are found, of present ones that are missed, and the AUC; nan without any."""
    found = highest > RELEVANT
    return {
        "found where absent": _share(found[~present]),
        "missed where present": _share(~found[present]),
        "AUC": auc(highest[present], highest[~present]),
    }


def auc(present: ArrayLike, absent: ArrayLike) -> float:
    """The chance that something present has the higher relevance than something absent, ties being half of one.

    That is the rank sum of Mann and Whitney over all pairs, and the area under the ROC curve. nan where there are none.
    """
    high, low = np.asarray(present, float), np.sort(np.asarray(absent, float))
    if not len(high) or not len(low):
        return float("nan")
    below, not_above = (np.searchsorted(low, high, side) for side in ("left", "right"))
    return float((below + not_above).sum() / (2 * len(high) * len(low)))


def _intervals(answered: Answered, scores: Scores, seed: int) -> Intervals:
    """Of what could be scored; each draw of images is scored anew."""
    _, image = np.unique(answered.images, return_inverse=True)
    places = np.arange(len(image))
    counts = metrics.resampled(answered.images, seed)
    drawn = [answered.scores(np.repeat(places, times[image])) for times in counts]
    return {name: metrics.interval([d[name] for d in drawn]) for name, score in scores.items() if np.isfinite(score)}


def _highest(row: Row | None) -> float:
    return max(0.0, *row["scores"]) if row and row["scores"] else 0.0


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
