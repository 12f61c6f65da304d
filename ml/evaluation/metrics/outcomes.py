"""What became of each question whose answer is a region: the records that accuracies, recalls and tables sum up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ml.evaluation.metrics import basics as metrics
from ml.evaluation.predictions.files import Row, read

Addends = dict[str, tuple[metrics.Array, metrics.Array]]  # metric -> what is summed, what it is divided by: [n] each
NOTHING: Row = {
    "boxes": [],
    "counts": [],
    "scores": [],
    "map_box": [0.0] * 4,
    "map_counts": None,
    "point": [-1.0, -1.0],
}


@dataclass(frozen=True)
class Outcome:
    """One question's result.

    Attributes:
        ious: best IoU of each ranked box over the true boxes (AnyBox).
        merged_ious: IoU of each ranked box with the box around all true ones (MergedBox).
        mask: intersection and union in pixels of the first mask and the true one; None without a true mask.
        map_iou, map_mask: likewise for the grounding map's own region.
        pointing: 1.0 where the map's peak lies in a true box.
        ceiling: best IoU over all proposals.
        groups: what tables are broken down by beside the kind: size of the object, number of distractors.
        mapped: whether the model has a grounding map.
    """

    query_id: str
    split: str
    image: str
    text: str
    kind: str
    truth: list[list[float]]
    ious: list[float]
    merged_ious: list[float]
    mask: tuple[int, int] | None
    map_iou: float
    map_mask: tuple[int, int] | None
    pointing: float
    ceiling: float
    groups: tuple[str, ...]
    mapped: bool = True


def outcomes(data: Path, predictions: Path, benchmark: str) -> list[Outcome]:
    """Compare a benchmark's predictions with its truth; a question without a prediction counts as answered wrong.

    Args:
        data: folder of `benchmark_data`.
        predictions: folder with `<benchmark>.parquet` and, where known, `proposals.parquet`.
    """
    truth = read(data / "truth" / f"{benchmark}.parquet")
    predicted = read(predictions / f"{benchmark}.parquet")
    sizes = image_sizes(data)
    splits = _predicted_splits(data, benchmark, predicted)
    queries = pq.read_table(data / "queries" / f"{benchmark}.parquet").to_pylist()
    asked = [query for query in queries if query["split"] in splits]
    boxes = _proposed_boxes(predictions / "proposals.parquet", {query["image"] for query in asked})
    return [
        _outcome(query, truth[query["query_id"]], _known(predicted.get(query["query_id"], {})), sizes, boxes)
        for query in asked
    ]


def _known(row: Row) -> Row:
    """A row of predictions; a column that it lacks, as of a model without maps, says nothing."""
    return NOTHING | {name: value for name, value in row.items() if value is not None}


def image_sizes(data: Path) -> dict[str, tuple[int, int]]:
    """(height, width) of every indexed image."""
    rows = pq.read_table(data / "images.parquet").to_pylist()
    return {row["image"]: (row["height"], row["width"]) for row in rows}


def referring(found: Sequence[Outcome]) -> Addends:
    """REC: acc@IoU of the first box. RES, where masks are known: gIoU (mean IoU), cIoU (summed I / summed U), P@IoU."""
    scores = {f"acc@{t}": _share(metrics.hit_within(o.ious, 1, t) for o in found) for t in (0.5, 0.7, 0.9)}
    return scores | _mask_addends([o.mask for o in found]) | {"ceiling": _share(o.ceiling >= 0.5 for o in found)}


def phrases(found: Sequence[Outcome]) -> Addends:
    """Phrase grounding: R@k by AnyBox and by MergedBox, and the pointing game of the grounding map."""
    scores = {f"R@{k}": _share(metrics.hit_within(o.ious, k) for o in found) for k in (1, 5, 10)}
    scores |= {f"R@{k} MergedBox": _share(metrics.hit_within(o.merged_ious, k) for o in found) for k in (1, 5, 10)}
    scores["pointing"] = _share(o.pointing for o in found)
    return scores | {"ceiling": _share(o.ceiling >= 0.5 for o in found)}


def maps(found: Sequence[Outcome]) -> Addends:
    """The grounding map alone, without masks to choose from: its region's box, its region, and its peak."""
    scores = {"acc@0.5": _share(o.map_iou >= 0.5 for o in found), "pointing": _share(o.pointing for o in found)}
    masks = _mask_addends([o.map_mask for o in found])
    names = {"mask acc@0.5": "P@0.5", "mask IoU": "gIoU"}
    return scores | {name: masks[ours] for name, ours in names.items() if masks}


def ratios(addends: Addends) -> dict[str, float]:
    """Each metric: what is summed over what it is divided by; nan of nothing."""
    return {
        name: float(top.sum() / bottom.sum()) if bottom.any() else np.nan for name, (top, bottom) in addends.items()
    }


def _mask_addends(overlaps: Sequence[tuple[int, int] | None]) -> Addends:
    """gIoU, cIoU and P@IoU of (intersection, union); a question without a true mask has no weight."""
    known = np.array([overlap is not None for overlap in overlaps], float)
    if not known.any():
        return {}
    common, either = np.array([overlap or (0, 0) for overlap in overlaps], float).T
    ious = common / np.maximum(either, 1)
    hits = {f"P@{t}": ((ious >= t) * known, known) for t in (0.5, 0.6, 0.7, 0.8, 0.9)}
    return {"gIoU": (ious, known), "cIoU": (common, either), **hits}


def _predicted_splits(data: Path, benchmark: str, predicted: dict[str, Row]) -> set[str]:
    """The splits of which at least one question was predicted: a split left out on purpose is not scored."""
    rows = pq.read_table(data / "queries" / f"{benchmark}.parquet", columns=["query_id", "split"]).to_pylist()
    return {row["split"] for row in rows if row["query_id"] in predicted}


def _proposed_boxes(path: Path, images: set[str]) -> dict[str, list[list[float]]]:
    """Of some images alone: those of LVIS would be six million boxes more."""
    if not path.is_file() or not images:
        return {}
    rows = pq.read_table(path, columns=["image", "boxes"], filters=[("image", "in", images)]).to_pylist()
    return {row["image"]: row["boxes"] for row in rows}


def _outcome(
    query: Row, truth: Row, predicted: Row, sizes: dict[str, tuple[int, int]], proposed: dict[str, Any]
) -> Outcome:
    boxes, size = truth["boxes"], sizes[query["image"]]
    ious = metrics.best_iou(predicted["boxes"], boxes)
    merged = metrics.box_iou(predicted["boxes"], metrics.merged_box(boxes))[:, 0]
    masks = [(predicted["counts"] or [None])[0], predicted["map_counts"]]
    overlaps = [metrics.mask_overlap(mask, truth["counts"][0], size) if truth["counts"] else None for mask in masks]
    return Outcome(
        query_id=query["query_id"],
        split=query["split"],
        image=query["image"],
        text=query["text"],
        kind=query["kind"],
        truth=boxes,
        ious=ious.tolist(),
        merged_ious=merged.tolist(),
        mask=overlaps[0],
        map_iou=float(metrics.best_iou([predicted["map_box"]], boxes)[0]),
        map_mask=overlaps[1],
        pointing=metrics.point_hit(predicted["point"], boxes),
        ceiling=float(metrics.best_iou(proposed.get(query["image"], []), boxes).max(initial=0.0)),
        groups=_groups(truth, size),
        mapped=predicted["map_counts"] is not None,
    )


def _groups(truth: Row, size: tuple[int, int]) -> tuple[str, ...]:
    """Size by share of the image (below 1 %, below 10 %, above), and others of the same category: 0, 1, 2+."""
    share = sum(w * h for _, _, w, h in truth["boxes"]) / (size[0] * size[1])
    found = f"size: {'small' if share < 0.01 else 'medium' if share < 0.1 else 'large'}"
    others = truth.get("distractors")
    return (found,) if others is None else (found, f"distractors: {others if others < 2 else '2+'}")


def _share(values: Iterable[float]) -> tuple[metrics.Array, metrics.Array]:
    """Addends of a mean."""
    array = np.fromiter(values, float)
    return array, np.ones(len(array))
