"""What LVIS's AP could be at most with the masks that SAM proposed: if names and ranks were always right."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ml.evaluation.metrics.average_precision import Annotation, lvis_ap
from ml.evaluation.metrics.basics import box_iou
from ml.evaluation.predictions.files import Row
from ml.masks import Masks

Sizes = Mapping[str, tuple[int, int]]  # image -> (height, width)


def lvis_ceiling(dataset: dict[str, Any], proposals: Path, sizes: Sizes, kind: str) -> float:
    """AP (of `kind` bbox or segm) where every true object is answered by a proposal of its own, and by nothing else.

    In each image and category as many proposals as there are objects, assigned for the greatest sum of IoUs, and ranked
    by them.

    Args:
        dataset: of `lvis_dataset`, from the same `sizes`.
        proposals: the file of all proposed masks.
    """
    return lvis_ap(dataset, list(assigned(dataset, proposals, sizes, kind)), kind)["AP"]


def assigned(dataset: dict[str, Any], proposals: Path, sizes: Sizes, kind: str) -> Iterator[Annotation]:
    """The proposals that are assigned to true objects, as detections of them."""
    ids = {image: number for number, image in enumerate(sorted(sizes), 1)}
    truth: dict[int, list[Annotation]] = defaultdict(list)
    for annotation in dataset["annotations"]:
        truth[annotation["image_id"]].append(annotation)
    for batch in pq.ParquetFile(proposals).iter_batches(columns=["image", "boxes", "counts"]):
        for row in batch.to_pylist():
            if objects := truth.get(ids.get(row["image"], 0)):
                yield from _answers(row, objects, sizes[row["image"]], kind)


def _answers(row: Row, objects: Sequence[Annotation], size: tuple[int, int], kind: str) -> Iterator[Annotation]:
    overlap = _overlap(row, objects, size, kind)
    categories = np.array([found["category_id"] for found in objects])
    for category in np.unique(categories):
        mine = overlap[:, categories == category]
        for p, t in zip(*linear_sum_assignment(mine, maximize=True), strict=True):
            yield {
                "image_id": objects[0]["image_id"],
                "category_id": int(category),
                "bbox": row["boxes"][p],
                "segmentation": {"size": list(size), "counts": row["counts"][p]},
                "score": float(mine[p, t]),
            }


def _overlap(row: Row, objects: Sequence[Annotation], size: tuple[int, int], kind: str) -> NDArray[np.float64]:
    """IoU of each proposal with each object, float64 `[P, T]`."""
    if kind == "bbox":
        return box_iou(row["boxes"], [found["bbox"] for found in objects])
    wanted = Masks.parse([found["segmentation"]["counts"] for found in objects], size)
    return Masks.parse(row["counts"], size).iou(wanted)
