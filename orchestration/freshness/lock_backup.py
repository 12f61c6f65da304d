"""`dvc.lock` as it was before DVC wrote it: DVC writes in place, so that a full disk or a kill cuts it short."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.errors import UserError
from ml.workspace import Workspace, lineage
from ml.workspace.atomic import atomic_path


@contextmanager
def backed_up(ws: Workspace) -> Iterator[None]:
    """Keep a copy of `dvc.lock` while DVC writes it, and take that back where the file was cut short.

    Raises:
        UserError: no room for the copy.
    """
    lock = ws.root / "dvc.lock"
    with atomic_path(_copy(ws)) as tmp:
        shutil.copyfile(lock, tmp) if lock.exists() else tmp.touch()
    try:
        yield
    finally:
        restore(ws)


def restore(ws: Workspace) -> None:
    """Take back what a killed process kept, unless `dvc.lock` is whole; an empty copy stands for no file."""
    if (copy := _copy(ws)).exists():
        copy.unlink() if _whole(ws) else copy.replace(ws.root / "dvc.lock")


def _copy(ws: Workspace) -> Path:
    return ws.root / ".dvc" / "tmp" / "dvc.lock.kept"


def _whole(ws: Workspace) -> bool:
    lock = ws.root / "dvc.lock"
    try:
        lineage.locked(ws, "")
        return lock.exists() and lock.stat().st_size > 0
    except UserError:
        return False
