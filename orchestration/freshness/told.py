"""The state of each stage that Dagster was last told of, noted beside its events: where these are removed, so is it.

As long as there is a note, Dagster has been told nothing of the stage since, and knows all of its shards as they were
then. A stage without one has to be compared with Dagster's events, shard by shard. Notes are of the store that
`dagster.yaml` names: in the place of another one they say nothing.
"""

import hashlib
import os
import re
import shutil
from pathlib import Path

from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path

_VARIABLE = re.compile(r"\benv:\s*(\w+)")  # of which `dagster.yaml` takes a value


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
    return _folder(ws) / _store(ws) / stage


def _store(ws: Workspace) -> str:
    """A name for Dagster's store: the digest of its configuration, and of what that takes from the environment."""
    try:
        config = (ws.root / ".dagster" / "dagster.yaml").read_text(encoding="utf-8")
    except OSError:
        config = ""
    values = [os.environ.get(name, "") for name in _VARIABLE.findall(config)]
    return hashlib.sha256("\0".join([config, *values]).encode()).hexdigest()[:16]


def _folder(ws: Workspace) -> Path:
    return ws.root / ".dagster" / "storage" / "told"
