"""LVIS's scores from a predictions file, whatever its size: of 300 detections an image, the few that count are read.

A detection counts where it is among the best of its image or category and its category is annotated in its image: LVIS
annotates one pair of image and category in a hundred.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.evaluation.metrics.ap_intervals import ap_intervals
from ml.evaluation.metrics.average_precision import (
    PER_CATEGORY,
    PER_IMAGE,
    Annotation,
    annotated_images,
    lvis_ap,
    lvis_dataset,
)
from ml.evaluation.metrics.lvis_ceiling import lvis_ceiling
from ml.evaluation.metrics.outcomes import image_sizes

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Index:
    """The D detections of a file: int64 [D] each, scores float32 [D]; by category, image and place in their row."""

    rows: Integers
    places: Integers
    images: Integers
    categories: Integers
    scores: NDArray[np.float32]


def lvis_scores(data: Path, predictions: Path, seed: int) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Both protocols' AP of boxes, and of masks where all have one, as fractions; 95% intervals of the standard one.

    Beside them the ceiling, where the proposals are known.
    """
    sizes = {image: size for image, size in image_sizes(data).items() if image.startswith("lvis/")}
    questions = pq.read_table(data / "queries" / "lvis.parquet").to_pylist()
    categories = {int(row["query_id"]): row["kind"] for row in questions}
    dataset = lvis_dataset(sizes, categories, pq.read_table(data / "truth" / "lvis.parquet").to_pylist())
    standard, fixed = counted(dataset, predictions / "lvis.parquet", sizes)
    scores: dict[str, float] = {}
    bounds: dict[str, tuple[float, float]] = {}
    masked = all(detection["segmentation"]["counts"] for detection in standard + fixed)
    for kind, name in {"bbox": "", "segm": "mask "}.items():
        if kind == "bbox" or masked:
            found = lvis_ap(dataset, standard, kind)
            found["fixed AP"] = lvis_ap(dataset, fixed, kind, "fixed")["AP"]
            if (proposals := predictions / "proposals.parquet").is_file():
                found["ceiling"] = lvis_ceiling(dataset, proposals, sizes, kind)
            scores |= {name + metric: value if value >= 0 else math.nan for metric, value in found.items()}
            limits = ap_intervals(dataset, standard, kind, seed)
            bounds |= {name + metric: pair for metric, pair in limits.items()}
    return scores, bounds


def counted(
    dataset: dict[str, Any], path: Path, sizes: dict[str, tuple[int, int]]
) -> tuple[list[Annotation], list[Annotation]]:
    """The detections in a file that count in LVIS's standard and in its fixed protocol.

    Args:
        dataset: of `lvis_dataset`, from the same `sizes`: image -> (height, width).
    """
    ids = {image: number for number, image in enumerate(sorted(sizes), 1)}
    index = read_index(path, ids)
    pairs = [image << 32 | category for category, images in annotated_images(dataset).items() for image in images]
    annotated = np.isin(index.images << 32 | index.categories, np.array(pairs, np.int64))
    standard = annotated & best_of_each(index.images, index.scores, PER_IMAGE)
    fixed = annotated & best_of_each(index.categories, index.scores, PER_CATEGORY)
    either = np.flatnonzero(standard | fixed)
    found = dict(zip(either, _annotations(path, index, either, sizes), strict=True))
    return [found[d] for d in np.flatnonzero(standard)], [found[d] for d in np.flatnonzero(fixed)]


def read_index(path: Path, ids: dict[str, int]) -> Index:
    """The detections of a predictions file without their boxes and masks; `ids` numbers the images."""
    columns: list[list[NDArray[Any]]] = [[np.zeros(0, np.int64)] * 4 + [np.zeros(0, np.float32)]]
    for start, batch in _batches(path, ["query_id", "image", "scores"]):
        lengths = batch["scores"].value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        ends = lengths.cumsum()
        images = np.array([ids[image] for image in batch["image"].to_pylist()], np.int64)
        categories = np.array([int(name.partition("@")[0]) for name in batch["query_id"].to_pylist()], np.int64)
        rows, places = np.arange(start, start + len(lengths)), np.arange(lengths.sum())
        places -= np.repeat(ends - lengths, lengths)
        each = [np.repeat(values, lengths) for values in (rows, images, categories)]
        columns.append([each[0], places, *each[1:], batch["scores"].flatten().to_numpy(zero_copy_only=False)])
    whole = [np.concatenate(column) for column in zip(*columns, strict=True)]
    order = np.lexsort((whole[1], whole[2], whole[3]))
    return Index(*(values[order] for values in whole))


def best_of_each(groups: Integers, scores: NDArray[np.float32], most: int) -> Bools:
    """Whether each is among the `most` of its group with the highest scores; of equals the first. Bool [D]."""
    order = np.lexsort((-scores, groups))
    ranked = groups[order]
    places = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    best = np.zeros(len(order), bool)
    best[order[places < most]] = True
    return best


def _annotations(path: Path, index: Index, chosen: Integers, sizes: dict[str, tuple[int, int]]) -> Iterator[Annotation]:
    """The chosen detections of an index, whole."""
    rows: dict[int, dict[str, Any]] = {}
    wanted = np.unique(index.rows[chosen])
    for start, batch in _batches(path, ["image", "boxes", "counts", "scores"]):
        mine = wanted[(wanted >= start) & (wanted < start + len(batch))]
        rows.update(zip(mine.tolist(), batch.take(pa.array(mine - start)).to_pylist(), strict=True))
    for d in chosen:
        row, place = rows[int(index.rows[d])], index.places[d]
        yield {
            "image_id": int(index.images[d]),
            "category_id": int(index.categories[d]),
            "bbox": row["boxes"][place],
            "segmentation": {"size": list(sizes[row["image"]]), "counts": (row["counts"] or {place: ""})[place]},
            "score": row["scores"][place],
        }


def _batches(path: Path, columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Some columns of a file piece by piece, each with the number of its first row."""
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=columns):
            yield start, batch
            start += len(batch)
