"""What a shard's output was made from, kept beside the data, so that finished work is never done twice.

The record lies outside the tracked outputs: written into them, a changed comment in the code would change their
bytes, and rebuilt but identical output could no longer stop there.
"""

import hashlib
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ml.errors import NO_SPACE, UserError, disk_is_full
from ml.workspace import Workspace
from ml.workspace.atomic import told, write_json

WAIT_SECONDS = 60.0  # for another process that is writing
TABLE = "CREATE TABLE IF NOT EXISTS md5s (path TEXT PRIMARY KEY, size, mtime_ns, inode, ctime_ns, md5)"
FIND = "SELECT size, mtime_ns, inode, ctime_ns, md5 FROM md5s WHERE path = ?"


def file_md5(path: Path) -> str:
    """The md5 of a file's bytes, as DVC records it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def cached_md5(ws: Workspace, path: Path) -> str:
    """`file_md5`, remembered for as long as the file's size, times of modification and of change, and inode stay.

    Raises:
        UserError: the file may not be read, or what is known of it not be written.
    """
    name = str(path).removeprefix(f"{ws.root}/")
    with told(path):
        return _known(ws, name, path)


def _known(ws: Workspace, name: str, path: Path) -> str:
    try:
        return _remembered(_store(ws), name, path)
    except sqlite3.OperationalError as error:  # locked, a full disk, or no permission
        reason = NO_SPACE if disk_is_full(str(error)) else f"{error}; let this user write there, then run again"
        raise UserError(f"{_file(ws)}: {reason}") from error
    except sqlite3.DatabaseError:  # no database any more: what it knew is computed again
        _remove(_file(ws))
        return _remembered(_store(ws), name, path)


def _remembered(store: sqlite3.Connection, name: str, path: Path) -> str:
    known: tuple[Any, ...] = store.execute(FIND, (name,)).fetchone() or ()
    now = _identity(path)
    if known[:4] == now:
        return str(known[4])
    md5 = file_md5(path)
    if known[:3] == now[:3] and known[4] != md5:
        # Other bytes with the time of modification kept: DVC, which knows nothing of the time of change, is to see it.
        os.utime(path)
        now = _identity(path)
    store.execute("INSERT OR REPLACE INTO md5s VALUES (?, ?, ?, ?, ?, ?)", (name, *now, md5))
    return md5


def _identity(path: Path) -> tuple[int, int, int, int]:
    """Size, time of modification, inode, and the time of change, which no program can set back."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns


def key(ws: Workspace, code: str, params: object, inputs: Sequence[Path]) -> str:
    """The digest of all that a shard's output depends on: its code, its params and its inputs' bytes."""
    parts = [code, params, [cached_md5(ws, path) for path in inputs]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def is_current(ws: Workspace, stage: str, shard: str, wanted: str, outputs: Sequence[Path]) -> bool:
    """Whether the outputs are there, untouched since they were recorded, and made from what `wanted` digests."""
    seen = _read(_record(ws, stage, shard))
    return (
        seen.get("key") == wanted
        and all(path.is_file() for path in outputs)
        and seen.get("outputs") == [cached_md5(ws, path) for path in outputs]
    )


def record(ws: Workspace, stage: str, shard: str, made_from: str, outputs: Sequence[Path]) -> None:
    """Remember that the outputs were made from what `made_from` digests."""
    value = {"key": made_from, "outputs": [cached_md5(ws, path) for path in outputs]}
    write_json(_record(ws, stage, shard), value)


def _record(ws: Workspace, stage: str, shard: str) -> Path:
    return ws.data / ".keys" / stage / f"{shard}.json"


def _read(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never written, or cut short by a crash: the work is simply done again
        return {}
    return value if isinstance(value, dict) else {}


def _store(ws: Workspace) -> sqlite3.Connection:
    """The md5s known here, in one table: reading a file for each of thousands would take longer than DVC takes in all.

    A machine has its own: SQLite's write-ahead log takes shared memory, which nodes on a shared file system have not.
    A connection belongs to one process and thread; a store that was removed meanwhile (another inode) is opened anew.
    """
    path = _file(ws)
    try:
        inode = os.stat(path).st_ino  # noqa: PTH116  (asked once a file)
    except FileNotFoundError:
        inode = 0
    return _open(path, inode, os.getpid(), threading.get_ident())


def _file(ws: Workspace) -> str:
    return f"{ws.data}/.keys/md5.{socket.gethostname()}.db"


def _remove(file: str) -> None:
    _open.cache_clear()
    for part in (file, f"{file}-wal", f"{file}-shm"):
        Path(part).unlink(missing_ok=True)


@lru_cache(maxsize=32)
def _open(path: str, _inode: int, _process: int, _thread: int) -> sqlite3.Connection:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    store = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", TABLE):
        store.execute(statement)
    return store
