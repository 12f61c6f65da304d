"""Outputs appear whole or not at all: written beside their place, synced, then renamed."""

import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from ml.errors import NO_SPACE, UserError, disk_is_full

REFUSED = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "let this user write there"),
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR, errno.EISDIR), "make room for the folder or file that is wanted there"
    ),
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place, on failure it is removed.

    Raises:
        UserError: the disk is full, or nothing may be written there.
    """
    tmp = _beside(path)
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield tmp
            with tmp.open("rb") as file:
                os.fsync(file.fileno())
            tmp.replace(path)
        finally:
            tmp.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces the folder `path` and all it held.

    Raises:
        UserError: the disk is full, or nothing may be written there.
    """
    tmp = _beside(path)
    with told(path):
        shutil.rmtree(tmp, ignore_errors=True)
        tmp.mkdir(parents=True)
        try:
            yield tmp
            shutil.rmtree(path, ignore_errors=True)
            tmp.replace(path)
        finally:
            shutil.rmtree(tmp, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that were killed left half-written."""
    for scrap in list(scraps(folder)):
        shutil.rmtree(scrap) if scrap.is_dir() else scrap.unlink(missing_ok=True)


def scraps(folder: Path) -> Iterator[Path]:
    """What such processes left, up to three levels below a folder: deeper lies none, but images by the ten thousand."""
    for depth in range(3):
        for scrap in folder.glob("*/" * depth + f".*.{socket.gethostname()}.*.tmp"):
            pid = scrap.name.split(".")[-2]
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                yield scrap


def _beside(path: Path) -> Path:
    """A name of this process alone, also where machines share the disk."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the disk refuses while a path is written, in one line: no space, no permission, a file for a folder.

    Raises:
        UserError: it refuses.
    """
    try:
        yield
    except Exception as error:
        if disk_is_full(str(error)):
            raise UserError(f"{path}: {NO_SPACE}") from error
        if isinstance(error, OSError) and error.errno in REFUSED:
            where = error.filename or path
            raise UserError(f"{where}: {error.strerror}; {REFUSED[error.errno]}, then run again") from error
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, so that equal values are equal bytes."""
    with atomic_path(path) as tmp:
        tmp.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
