"""One run at a time in a workspace; the kernel lets go of the lock of a process that died."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ml.errors import UserError
from ml.workspace import Workspace
from ml.workspace.atomic import sweep
from orchestration.freshness.lock_backup import restore

_held: set[str] = set()  # by this process: a stage inside a run needs no lock of its own


@contextmanager
def exclusive(ws: Workspace) -> Iterator[None]:
    """Hold the workspace while stages are run in it; what a killed run left half-written goes first.

    Raises:
        UserError: another process holds it.
    """
    path = ws.root / ".dagster" / "run.lock"
    if str(path) in _held:
        yield
        return
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UserError(
                f"{ws.root}: another run is under way here (process {file.read().strip()}); wait for it to end"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _held.add(str(path))
        try:
            sweep(ws.data)
            restore(ws)
            yield
        finally:
            _held.discard(str(path))


def busy(ws: Workspace) -> bool:
    """Whether another process is running stages in the workspace."""
    path = ws.root / ".dagster" / "run.lock"
    if str(path) in _held or not path.is_file():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
