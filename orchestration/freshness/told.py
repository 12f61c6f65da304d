"""The state of each stage that Dagster was last told of, noted beside its events: where these are removed, so is it.

As long as there is a note, Dagster has been told nothing of the stage since, and knows all of its shards as they were
then. A stage without one has to be compared with Dagster's events, shard by shard.
"""

import shutil
from pathlib import Path

from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path


def told(ws: Workspace, stage: str) -> str:
    """The state that Dagster was told of: the versions of its code and of its output; "" without a note."""
    try:
        return _note(ws, stage).read_text(encoding="utf-8")
    except OSError:
        return ""


def note(ws: Workspace, stage: str, version: str) -> None:
    """Dagster knows all shards of a stage as they are."""
    if told(ws, stage) != version:
        with atomic_path(_note(ws, stage)) as tmp:
            tmp.write_text(version, encoding="utf-8")


def forget(ws: Workspace, stage: str) -> None:
    """Dagster is told something new of a stage."""
    _note(ws, stage).unlink(missing_ok=True)


def forget_all(ws: Workspace) -> None:
    """Dagster's store is another one."""
    shutil.rmtree(_folder(ws), ignore_errors=True)


def _note(ws: Workspace, stage: str) -> Path:
    return _folder(ws) / stage


def _folder(ws: Workspace) -> Path:
    return ws.root / ".dagster" / "storage" / "told"
