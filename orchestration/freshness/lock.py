"""One run at a time in a workspace; the kernel lets go of the lock of a process that died.

The lock's file says who holds it, and which stage is being run.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from ml.errors import UserError
from ml.workspace import Workspace
from ml.workspace.atomic import sweep
from ml.workspace.remaining import in_words
from orchestration.freshness.lock_backup import restore

SPAWNED = "multiprocessing.spawn"  # in the command line of a process that Dagster's code server started for a run
PAGE = "Dagster's page"

_held: set[str] = set()  # by this process: a stage inside a run needs no lock of its own


@dataclass(frozen=True)
class Holder:
    """Who runs stages: its process, and what it does now."""

    process: int = 0
    stage: str = ""  # none: it is between two
    since: float = 0.0  # of the stage, in seconds since the epoch

    @property
    def by(self) -> str:
        """The command that runs there, and whose it is."""
        try:
            process = psutil.Process(self.process)
            words, user = process.cmdline(), process.username()
        except psutil.Error:  # it has just ended
            return f"process {self.process}"
        names = [Path(word).name for word in words]
        command = " ".join(names[names.index("arrcoc") :] if "arrcoc" in names else words)
        return f"{PAGE if SPAWNED in command else command} of {user}, process {self.process}"

    def words(self) -> str:
        """What is being run, for how long, and by whom."""
        if not self.stage:
            return f"A run is under way, by {self.by}."
        return f"{self.stage} is being run for {in_words(time.time() - self.since)} now, by {self.by}."

    def to_json(self) -> dict[str, Any]:
        """The same, for programs; `since` in seconds since the epoch."""
        return {**asdict(self), "by": self.by}


@contextmanager
def exclusive(ws: Workspace) -> Iterator[None]:
    """Hold the workspace while stages are run in it; what a killed run left half-written goes first.

    Raises:
        UserError: another process holds it.
    """
    path = _path(ws)
    if str(path) in _held:
        yield
        return
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{ws.root}: another run is under way here (process {_read(path).process}); wait for it to end"
            ) from error
        _write(path, Holder(os.getpid()))
        _held.add(str(path))
        try:
            sweep(ws.data)
            restore(ws)
            yield
        finally:
            _held.discard(str(path))


@contextmanager
def noted(ws: Workspace, stage: str) -> Iterator[None]:
    """Let others see which stage this process, which holds the workspace, is running."""
    _write(_path(ws), Holder(os.getpid(), stage, time.time()))
    try:
        yield
    finally:
        _write(_path(ws), Holder(os.getpid()))


def busy(ws: Workspace) -> bool:
    """Whether another process is running stages in the workspace."""
    path = _path(ws)
    if str(path) in _held or not path.is_file():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def holder(ws: Workspace) -> Holder | None:
    """Which other process runs stages in the workspace; None where none does."""
    return _read(_path(ws)) if busy(ws) else None


def _path(ws: Workspace) -> Path:
    return ws.root / ".dagster" / "run.lock"


def _write(path: Path, held: Holder) -> None:
    with suppress(OSError):  # of a full disk the stage itself will tell
        path.write_text(json.dumps(asdict(held)), encoding="utf-8")


def _read(path: Path) -> Holder:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # being written
        return Holder()
