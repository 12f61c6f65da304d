"""Rows out of Parquet files where they lie: of some columns, from the row groups that hold what is wanted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import UserError
from ml.workspace import Workspace

PAGE = 24  # rows or pictures that a page shows
Row = dict[str, Any]
Stamp = tuple[int, int, int]  # tells a file from one that was put in its place


def shards(ws: Workspace, stage: str) -> list[str]:
    """The shards of which a stage has written its Parquet file, in order."""
    names = (path.name.removesuffix(".parquet") for path in ws.stage(stage).glob("*.parquet"))
    return sorted(name for name in names if not name.endswith(".rejects"))


def shard_file(ws: Workspace, stage: str, shard: str, suffix: str = ".parquet") -> Path:
    """A file of a shard that is among those listed: no path is ever made of what a client names.

    Raises:
        UserError: it is not.
    """
    known = shards(ws, stage)
    if shard not in known:
        have = f"{known[0]} to {known[-1]}" if known else f"none; arrcoc run --select +{stage}"
        raise UserError(f"{stage}: no shard {shard!r}; there are {have}")
    return ws.shard_file(stage, shard, suffix)


def opened(path: Path) -> pq.ParquetFile:
    """A Parquet file, its footer read.

    Raises:
        UserError: it is missing or no Parquet.
    """
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: not readable as Parquet ({error}); run {path.parent.name} again") from error


def where(path: Path, column: str, value: object, columns: Sequence[str] | None = None) -> list[Row]:
    """The rows with a value in a column; row groups that cannot hold it are passed over.

    Raises:
        UserError: the file is missing or no Parquet.
    """
    try:
        return pq.read_table(path, columns=columns, filters=[(column, "=", value)]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: not readable as Parquet ({error}); run {path.parent.name} again") from error


def rows_at(file: pq.ParquetFile, numbers: Sequence[int], columns: Sequence[str]) -> list[Row]:
    """The rows of these numbers, ascending; only the row groups that they lie in are read."""
    wanted, found, start = np.asarray(numbers, np.int64), list[Row](), 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        own = wanted[(start <= wanted) & (wanted < end)] - start
        if len(own):
            found += file.read_row_group(group, columns=list(columns)).take(pa.array(own)).to_pylist()
        start = end
    return found


def stamp(path: Path) -> Stamp:
    """What tells the file that lies there now from any other.

    Raises:
        UserError: there is none.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run {path.parent.name} first") from error
    return found.st_ino, found.st_size, found.st_mtime_ns
