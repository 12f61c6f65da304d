"""Outputs appear whole or not at all: written beside their place, synced, then renamed."""

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


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place, on failure it is removed.

    Raises:
        UserError: the disk is full.
    """
    with _beside(path) as tmp:
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
        UserError: the disk is full.
    """
    with _beside(path) as tmp:
        shutil.rmtree(tmp, ignore_errors=True)
        tmp.mkdir()
        try:
            yield tmp
            shutil.rmtree(path, ignore_errors=True)
            tmp.replace(path)
        finally:
            shutil.rmtree(tmp, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that were killed left half-written, up to three levels below a folder."""
    for depth in range(3):  # deeper lies none, but a benchmark's images by the ten thousand
        for scrap in list(folder.glob("*/" * depth + f".*.{socket.gethostname()}.*.tmp")):
            pid = scrap.name.split(".")[-2]
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(scrap) if scrap.is_dir() else scrap.unlink(missing_ok=True)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name of this process alone, also where machines share the disk; a full disk is told as such."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    except Exception as error:
        if disk_is_full(str(error)):
            raise UserError(f"{path}: {NO_SPACE}") from error
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, so that equal values are equal bytes."""
    with atomic_path(path) as tmp:
        tmp.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
