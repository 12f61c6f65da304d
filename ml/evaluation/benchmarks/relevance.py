"""The ARR-COC relevance benchmark: how relevant every given mask of an image is to a query.

`relevance_val.jsonl`, a line an image: {"file_name", "image_id", "masks": [{"counts", "size", "level", "parent"}],
"queries": [{"text", "kind", "relevance": [a number in 0..1 a mask]}]}; `parent` is an index into masks, -1 for none.
"""

import json
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import Benchmark, Example, find_image, to_counts

LEVELS = ("part", "object", "group", "scene")
SPLIT = "val"
MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)


def read_relevance(folder: Path) -> list[Benchmark]:
    """The masks of each image, which belong to the input, and the relevance of each to each query.

    Raises:
        UserError: `relevance_val.jsonl` is missing.
    """
    path = folder / "relevance_val.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable ({error}); point params.benchmarks.relevance at its folder") from error
    benchmark = Benchmark("relevance")
    for number, line in enumerate(lines, 1):
        row: Any = None
        try:
            row = json.loads(line)
            _add_image(benchmark, folder, row)
        except MALFORMED as error:
            benchmark.refuse(f"line {number}", "line", line, f"{type(error).__name__}: {error}", _asked(row))
    return [benchmark]


def _asked(row: Any) -> int:
    """How many questions are lost with a line: 1 where it does not say."""
    queries = row.get("queries") if isinstance(row, dict) else None
    return len(queries) if isinstance(queries, list) else 1


def _add_image(benchmark: Benchmark, folder: Path, row: Any) -> None:
    image = find_image(folder, [f"images/{row['file_name']}", row["file_name"]])
    if image is None:
        return benchmark.refuse(row["image_id"], "file_name", row["file_name"], "image is missing", _asked(row))
    masks, queries = row["masks"], list(row["queries"])
    if not masks:
        raise ValueError("no masks")
    size = (int(masks[0]["size"][0]), int(masks[0]["size"][1]))
    counts = [to_counts({"counts": mask["counts"], "size": mask["size"]}, size) for mask in masks]
    levels, parents = [mask["level"] for mask in masks], [int(mask["parent"]) for mask in masks]
    if unknown := sorted(set(levels) - set(LEVELS)):
        raise ValueError(f"level {unknown[0]!r}; expected one of {', '.join(LEVELS)}")
    if not all(-1 <= parent < len(masks) and parent != i for i, parent in enumerate(parents)):
        raise ValueError("a parent is no index of another mask")
    benchmark.images[image] = size
    benchmark.regions.append({"image": image, "counts": counts})
    benchmark.region_truth.append({"image": image, "levels": levels, "parents": parents})
    for number, query in enumerate(queries):
        _add_query(benchmark, f"{row['image_id']}_{number}", image, size, query, len(masks))
    return None


def _add_query(benchmark: Benchmark, query_id: str, image: str, size: tuple[int, int], query: Any, masks: int) -> None:
    try:
        relevance, text = [float(value) for value in query["relevance"]], str(query["text"]).strip()
        kind = str(query["kind"])
    except MALFORMED as error:
        return benchmark.refuse(query_id, "query", query, f"{type(error).__name__}: {error}")
    if len(relevance) != masks or not all(0 <= value <= 1 for value in relevance):
        return benchmark.refuse(query_id, "relevance", relevance, f"not {masks} numbers in 0..1")
    if not text:
        return benchmark.refuse(query_id, "text", query["text"], "empty query")
    truth = {"relevance": relevance}
    benchmark.examples.append(Example(query_id, SPLIT, image, size, text, kind, truth))
    return None
