"""Exports of RefCOCO, RefCOCO+ and RefCOCOg: `<name>_<split_by>_<split>.csv` or `.jsonl`, a row a sentence.

A row is a line, in a CSV as well: no expression holds a line break, and a quote that was lost takes one row along.
"""

import csv
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import (
    IMAGE_FOLDERS,
    Benchmark,
    Example,
    RefusedError,
    find_image,
    json_object,
    take,
)
from ml.evaluation.benchmarks.referring.kinds import expression_kind
from ml.evaluation.benchmarks.regions import check_box
from ml.sa1b.reading.values import identity, items, number, parse_json, read_lines, text

COLUMNS = {"ref_id", "img_id", "sent_id", "sent", "bbox"}


def exports(folder: Path, name: str, split_by: str) -> list[tuple[str, Path]]:
    """Exports of a benchmark as (split, path): `<name>_<split_by>_<split>.csv` or `.jsonl`."""
    start = f"{name}_{split_by}_"
    files = [path for suffix in ("csv", "jsonl") for path in sorted(folder.glob(f"{start}*.{suffix}"))]
    return [(path.stem.removeprefix(start), path) for path in files]


def read_exports(folder: Path, name: str, split_by: str, known_as: str) -> Benchmark:
    """The benchmark that exports hold; its truth is boxes alone.

    Raises:
        UserError: a file is not readable as a whole, lacks a column, or two hold one split.
    """
    benchmark = Benchmark(known_as)
    for split, path in exports(folder, name, split_by):
        if split == "train":
            continue
        if split in benchmark.files:
            other = benchmark.files[split].name
            raise UserError(f"{path} and {other} both hold {known_as} {split}; expected one: move the other away")
        benchmark.files[split] = path
        _add_file(benchmark, folder, split, path)
    return benchmark


def _add_file(benchmark: Benchmark, folder: Path, split: str, path: Path) -> None:
    lines = [(number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()]
    columns = _columns(path, lines.pop(0)[1]) if path.suffix == ".csv" and lines else None
    for line_number, line in lines:
        try:
            row = json_object(line) if columns is None else _record(line, columns)
            _add_row(benchmark, folder, split, row)
        except RefusedError as error:
            benchmark.refuse(f"{path.name}, line {line_number}", error.field, error.value, error.reason)


def _columns(path: Path, line: str) -> list[str]:
    """The names in the first line of a CSV."""
    try:
        columns = _cells(line)
    except RefusedError as error:
        raise UserError(f"{path}: line 1: {error.reason}; expected the names of its columns") from error
    if missing := sorted(COLUMNS - set(columns)):
        raise UserError(f"{path}: line 1: no {missing[0]!r}; expected {', '.join(sorted(COLUMNS))}")
    if len(set(columns)) != len(columns):
        raise UserError(f"{path}: line 1: a column's name comes twice; expected each once")
    return columns


def _record(line: str, columns: list[str]) -> dict[str, Any]:
    cells = _cells(line)
    if len(cells) != len(columns):
        raise RefusedError("line", line, f"not as many fields as columns ({len(columns)})")
    return dict(zip(columns, cells, strict=True))


def _cells(line: str) -> list[str]:
    if line.count('"') % 2:
        raise RefusedError("line", line, "a quote too many or too few")
    try:
        (cells,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError) as error:
        raise RefusedError("line", line, f"not readable as CSV ({error})") from error
    return cells


def _add_row(benchmark: Benchmark, folder: Path, split: str, row: dict[str, Any]) -> None:
    query_id = f"{take(row, 'ref_id', identity)}_{take(row, 'sent_id', identity)}"
    name = f"COCO_train2014_{take(row, 'img_id', identity):012d}.jpg"
    path = find_image(folder, [f"{place}/{name}".removeprefix("./") for place in IMAGE_FOLDERS])
    if path is None:
        raise RefusedError("img_id", row["img_id"], "image is missing")
    box, words = take(row, "bbox", _box), take(row, "sent", text)
    if problem := check_box(box, None):  # how large the picture is shows when it is read
        raise RefusedError("bbox", box, problem)
    benchmark.images.setdefault(path, None)
    truth = {"boxes": [box], "counts": []}
    benchmark.add(Example(query_id, split, path, None, words, expression_kind(words), truth))


def _box(value: Any) -> list[float]:
    """The numbers of a box, given as a list or as its JSON."""
    return [number(side) for side in items(parse_json(value) if isinstance(value, str) else value)]
