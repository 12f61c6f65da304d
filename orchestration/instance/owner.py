"""A store elsewhere is one workspace's: assets of two have the same names, and each would take the other's for its own.

The owner is noted in the store itself, by an id that its workspace keeps: a copy has the id, but lies elsewhere.
"""

import json
import socket
import uuid
from pathlib import Path

from dagster._core.storage.runs import RunStorage

from ml.errors import UserError
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path
from orchestration.freshness.told import forget_all

KEY = "arrcoc workspace"  # in the store's table `kvs`
TAKE_OVER = f"psql -c \"delete from kvs where key = '{KEY}'\""


def claim(ws: Workspace, store: RunStorage) -> None:
    """Note whose the store is, where nobody's or this workspace's before it was moved.

    Raises:
        UserError: it is another's.
    """
    ours = {"id": _id(ws), "host": socket.gethostname(), "root": str(ws.root)}
    noted = store.get_cursor_values({KEY}).get(KEY)
    theirs = json.loads(noted) if noted else None
    if theirs and (theirs["id"], theirs["root"]) == (ours["id"], ours["root"]):
        return
    if theirs and not _has_moved(theirs, ours):
        raise UserError(
            f"{ws.root}: Dagster's store is that of {theirs['root']} on {theirs['host']}; name a database of its own "
            f"(createdb NAME, PGDATABASE=NAME), or where that workspace is no more, take it over: {TAKE_OVER}"
        )
    forget_all(ws)  # which an other store was
    store.set_cursor_values({KEY: json.dumps(ours)})


def _has_moved(theirs: dict[str, str], ours: dict[str, str]) -> bool:
    same = (theirs["id"], theirs["host"]) == (ours["id"], ours["host"])
    return same and not Path(theirs["root"]).exists()


def _id(ws: Workspace) -> str:
    """The id of a workspace, which it gets when it is asked for the first time."""
    file = ws.root / ".dagster" / "workspace_id"
    if not file.is_file():
        with atomic_path(file) as tmp:
            tmp.write_text(uuid.uuid4().hex, encoding="utf-8")
    return file.read_text(encoding="utf-8")
