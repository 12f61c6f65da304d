"""The absence benchmark: whether what an image is asked for is there at all.

The no-target side of generalized referring expressions (Liu et al., "GRES", CVPR 2023). `absence_val.jsonl`, a line an
image: {"file_name", "image_id", "queries": [{"text", "kind", "present": true or false}]}.
"""

from pathlib import Path
from typing import Any

from ml.evaluation.benchmarks.benchmark import Benchmark, Example, RefusedError, read_images, take, take_image
from ml.sa1b.reading.values import items, name_or_number, text

SPLIT = "val"


def read_absence(folder: Path) -> list[Benchmark]:
    """The questions to each image; `kind` is any text, in the town name, attribute or relation.

    Raises:
        UserError: `absence_val.jsonl` is missing.
    """
    return [read_images(folder, "absence", _add_image)]


def _add_image(benchmark: Benchmark, folder: Path, row: dict[str, Any]) -> None:
    image_id, image = take(row, "image_id", name_or_number), take_image(benchmark, folder, row)
    queries = take(row, "queries", items)
    benchmark.images[image] = None
    for index, query in enumerate(queries):
        _add_query(benchmark, f"{image_id}_{index}", image, query)


def _add_query(benchmark: Benchmark, query_id: str, image: str, query: Any) -> None:
    try:
        if not isinstance(query, dict):
            raise RefusedError("query", query, "no object")
        words, kind, present = take(query, "text", text), take(query, "kind", text), take(query, "present", _present)
    except RefusedError as error:
        return benchmark.refuse(query_id, error.field, error.value, error.reason)
    return benchmark.add(Example(query_id, SPLIT, image, None, words, kind, {"present": present}))


def _present(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value
