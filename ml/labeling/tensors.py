"""A safetensors file of known shapes, filled in place: memory stays flat however large the shard."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ml.errors import NO_SPACE, UserError
from ml.workspace.atomic import atomic_path

TYPES = {"F16": np.float16, "I64": np.int64}


@contextmanager
def tensor_file(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> Iterator[dict[str, np.ndarray]]:
    """Yield zeroed arrays, name -> array on disk, for `tensors`, name -> (safetensors dtype, shape).

    The file takes its place when the block ends without an error. Empty tensors are allowed.

    Raises:
        UserError: the disk has no room for it.
    """
    header, size = _header(tensors)
    with atomic_path(path) as tmp:
        reserve(tmp, len(header) + size)
        with tmp.open("r+b") as file:
            file.write(header)
        arrays = {}
        start = len(header)
        for name, (kind, shape) in tensors.items():
            arrays[name] = _view(tmp, TYPES[kind], start, shape)
            start += arrays[name].nbytes
        yield arrays
        for array in arrays.values():
            if isinstance(array, np.memmap):
                array.flush()


def reserve(path: Path, size: int) -> None:
    """Make a file of `size` > 0 zeros that has its room on the disk; a write by way of a mapping can't say it is full.

    The process would be killed (SIGBUS) instead.

    Raises:
        UserError: the disk has no room for it.
    """
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(f"{path.parent}: {NO_SPACE} ({size} bytes are wanted)") from error


def _header(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[bytes, int]:
    """The file's first bytes (length, JSON, padding to 8) and the size of the data behind them."""
    entries, end = {}, 0
    for name, (kind, shape) in tensors.items():
        begin, end = end, end + int(np.prod(shape)) * np.dtype(TYPES[kind]).itemsize
        entries[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, end


def _view(path: Path, dtype: type, start: int, shape: tuple[int, ...]) -> np.ndarray:
    if 0 in shape:  # mmap refuses an empty range
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r+", start, shape)
