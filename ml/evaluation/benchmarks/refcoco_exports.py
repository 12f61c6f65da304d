"""Exports of RefCOCO, RefCOCO+ and RefCOCOg: `<name>_<split_by>_<split>.csv` or `.jsonl`, a row a sentence."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import IMAGE_FOLDERS, Benchmark, Example, check_box, find_image
from ml.evaluation.benchmarks.kinds import expression_kind

COLUMNS = {"ref_id", "img_id", "sent_id", "sent", "bbox"}


def exports(folder: Path, name: str, split_by: str) -> list[tuple[str, Path]]:
    """Exports of a benchmark as (split, path): `<name>_<split_by>_<split>.csv` or `.jsonl`."""
    start = f"{name}_{split_by}_"
    files = [path for suffix in ("csv", "jsonl") for path in sorted(folder.glob(f"{start}*.{suffix}"))]
    return [(path.stem.removeprefix(start), path) for path in files]


def read_exports(folder: Path, name: str, split_by: str, known_as: str) -> Benchmark:
    """The benchmark that exports hold; its truth is boxes alone.

    Raises:
        UserError: a file is not readable as a whole, or lacks a column.
    """
    benchmark = Benchmark(known_as)
    for split, path in exports(folder, name, split_by):
        for number, row in enumerate(_rows(path), 1):
            if missing := sorted(COLUMNS - set(row)):
                raise UserError(f"{path}: row {number}: no {missing[0]!r}; expected {', '.join(sorted(COLUMNS))}")
            if split != "train":
                _add_row(benchmark, folder, split, row)
    return benchmark


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV or JSONL file; in JSONL a box may be a list."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                yield from csv.DictReader(file)
            else:
                yield from (dict(json.loads(line)) for line in file if line.strip())
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not readable as {path.suffix[1:].upper()} ({error})") from error


def _add_row(benchmark: Benchmark, folder: Path, split: str, row: dict[str, Any]) -> None:
    item = f"{row['ref_id']}_{row['sent_id']}"
    try:
        box = [float(v) for v in (json.loads(row["bbox"]) if isinstance(row["bbox"], str) else row["bbox"])]
        name = f"COCO_train2014_{int(row['img_id']):012d}.jpg"
    except (ValueError, TypeError) as error:
        return benchmark.refuse(item, "row", row, f"malformed row ({error})")
    path = find_image(folder, [f"{place}/{name}".removeprefix("./") for place in IMAGE_FOLDERS])
    if path is None:
        return benchmark.refuse(item, "img_id", row["img_id"], "image is missing")
    if problem := check_box(box, None):
        return benchmark.refuse(item, "bbox", box, problem)
    text = str(row["sent"]).strip()
    if not text:
        return benchmark.refuse(item, "sent", row["sent"], "empty expression")
    benchmark.images.setdefault(path, None)
    truth = {"boxes": [box], "counts": []}
    benchmark.examples.append(Example(item, split, path, None, text, expression_kind(text), truth))
    return None
