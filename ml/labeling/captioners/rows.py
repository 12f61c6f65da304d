"""Rows of a caption file, Parquet or JSON lines, as they lie there: values are not judged here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import UserError, cut
from ml.sa1b.reading.values import parse_json, read_lines

COLUMNS = ("image_id", "mask_id", "text")
MAGIC = b"PAR1"
BATCH = 65_536  # rows of a Parquet file that are held at a time
WANTED = "a row a mask is wanted, with image_id, mask_id and text"

Numbered = tuple[int, Any]  # a row's number from 1, and its value: {column: value}, or what stands in its place


def read_rows(path: Path, images: range | None) -> Iterator[Numbered]:
    """The rows of a file; of a Parquet file, row groups that hold none of the `images` are passed over.

    Raises:
        UserError: it is missing, damaged, not UTF-8, has no rows, or its table lacks a column.
    """
    if not path.is_file():
        raise UserError(f"labels.caption_file: {path} is no file; {WANTED}, as Parquet or JSON lines")
    try:
        rows = _parquet(path, images) if _is_parquet(path) else _json_lines(path)
        yield from rows
    except (pa.ArrowException, OSError) as error:
        reason = cut(str(error))
        raise UserError(f"{path}: not readable as Parquet ({reason}); write it again, or as JSON lines") from error


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix == ".parquet" or file.read(len(MAGIC)) == MAGIC


def _json_lines(path: Path) -> Iterator[Numbered]:
    """A line that is no JSON is given as the text that it is; blank lines are no rows."""
    lines = [(number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()]
    if not lines:
        raise UserError(f"{path}: no row in it; {WANTED}")
    for number, line in lines:
        try:
            yield number, parse_json(line)
        except ValueError:
            yield number, line


def _parquet(path: Path, images: range | None) -> Iterator[Numbered]:
    with pq.ParquetFile(path) as file:
        _check_columns(path, file.schema_arrow.names)
        if not file.metadata.num_rows:
            raise UserError(f"{path}: no row in it; {WANTED}")
        number = 1
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group)
            if images is None or _may_hold(rows, images):
                yield from enumerate(_group(file, group), number)
            number += rows.num_rows


def _check_columns(path: Path, found: list[str]) -> None:
    for name in COLUMNS:
        if found.count(name) != 1:
            many = "twice" if name in found else "missing"
            columns = cut(", ".join(found), 80) or "none"
            raise UserError(f"{path}: column {name} is {many}, found {columns}; {WANTED}")


def _may_hold(rows: Any, images: range) -> bool:
    """Whether a row group may hold rows of images in a range, by the least and the greatest that it says it has."""
    columns = (rows.column(i) for i in range(rows.num_columns))
    stats = next(column.statistics for column in columns if column.path_in_schema == COLUMNS[0])
    if stats is None or not isinstance(stats.min, int) or not isinstance(stats.max, int):
        return True
    return stats.min < images.stop and stats.max >= images.start


def _group(file: pq.ParquetFile, group: int) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(BATCH, row_groups=[group], columns=list(COLUMNS)):
        for values in zip(*(_values(batch.column(name)) for name in COLUMNS), strict=True):
            yield dict(zip(COLUMNS, values, strict=True))


def _values(column: pa.Array) -> list[Any]:
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):  # text that is not UTF-8, a date of no calendar: it costs its row alone
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError) as error:
        return error
