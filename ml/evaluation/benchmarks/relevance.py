"""The ARR-COC relevance benchmark: how relevant every given mask of an image is to a query.

`relevance_val.jsonl`, a line an image: {"file_name", "image_id", "masks": [{"counts", "size", "level", "parent"}],
"queries": [{"text", "kind", "relevance": [a number in 0..1 a mask]}]}; `parent` is an index into masks, -1 for none.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.evaluation.benchmarks.benchmark import Benchmark, Example, RefusedError, read_images, take, take_image
from ml.evaluation.benchmarks.regions import image_side, to_counts
from ml.sa1b.reading.values import identity, items, name_or_number, number, shown, text

LEVELS = ("part", "object", "group", "scene")
SPLIT = "val"


@dataclass(frozen=True)
class Regions:
    """The masks of an image: its (height, width), and of each mask its compressed RLE, level and parent."""

    size: tuple[int, int]
    counts: list[str]
    levels: list[str]
    parents: list[int]


def read_relevance(folder: Path) -> list[Benchmark]:
    """The masks of each image, which belong to the input, and the relevance of each to each query.

    Raises:
        UserError: `relevance_val.jsonl` is missing.
    """
    return [read_images(folder, "relevance", _add_image)]


def _add_image(benchmark: Benchmark, folder: Path, row: dict[str, Any]) -> None:
    image_id, image = take(row, "image_id", name_or_number), take_image(benchmark, folder, row)
    masks, queries = take(row, "masks", _masks), take(row, "queries", items)
    benchmark.images[image] = masks.size
    benchmark.regions.append({"image": image, "counts": masks.counts})
    benchmark.region_truth.append({"image": image, "levels": masks.levels, "parents": masks.parents})
    for index, query in enumerate(queries):
        _add_query(benchmark, f"{image_id}_{index}", image, masks, query)


def _masks(value: Any) -> Regions:
    rows = items(value)
    if not rows:
        raise ValueError("no masks")
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a mask that is no object")
    size = _shared_size(rows[0])
    counts, levels, parents = [], [], []
    for index, row in enumerate(rows):
        try:
            counts.append(to_counts(row, size))
            levels.append(take(row, "level", _level))
            parents.append(take(row, "parent", identity))
        except (RefusedError, ValueError) as error:
            raise ValueError(f"mask {index}: {error}") from error
    if not all(-1 <= parent < len(rows) and parent != i for i, parent in enumerate(parents)):
        raise ValueError("a parent is no index of another mask")
    return Regions(size, counts, levels, parents)


def _shared_size(row: dict[str, Any]) -> tuple[int, int]:
    try:
        height, width = take(row, "size", _size)
    except RefusedError as error:
        raise ValueError(f"mask 0: {error}") from error
    return height, width


def _size(value: Any) -> tuple[int, int]:
    height, width = items(value) if isinstance(value, list) and len(value) == 2 else (0, 0)
    return image_side(height), image_side(width)


def _level(value: Any) -> str:
    if value not in LEVELS:
        raise ValueError(f"level {shown(value)!r}; expected one of {', '.join(LEVELS)}")
    return str(value)


def _add_query(benchmark: Benchmark, query_id: str, image: str, masks: Regions, query: Any) -> None:
    try:
        if not isinstance(query, dict):
            raise RefusedError("query", query, "no object")
        words, kind = take(query, "text", text), take(query, "kind", text)
        relevance = take(query, "relevance", _relevance)
        if len(relevance) != len(masks.counts) or not all(0 <= value <= 1 for value in relevance):
            raise RefusedError("relevance", relevance, f"not {len(masks.counts)} numbers in 0..1")
    except RefusedError as error:
        return benchmark.refuse(query_id, error.field, error.value, error.reason)
    return benchmark.add(Example(query_id, SPLIT, image, masks.size, words, kind, {"relevance": relevance}))


def _relevance(value: Any) -> list[float]:
    return [number(share) for share in items(value)]
