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
from ml.workspace.stages import entries_below

WAIT_SECONDS = 60.0  # for another process that is writing
TABLE = "CREATE TABLE IF NOT EXISTS md5s (path TEXT PRIMARY KEY, size, mtime_ns, inode, ctime_ns, md5)"
FIND = "SELECT size, mtime_ns, inode, ctime_ns, md5 FROM md5s WHERE path = ?"
FIND_BELOW = "SELECT path, size, mtime_ns, inode, ctime_ns, md5 FROM md5s WHERE path > ? AND path < ?"


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


def cached_md5s(ws: Workspace, folder: Path) -> dict[str, str]:
    """`cached_md5` of each file of a folder that DVC would see, by its path from there; what is known is asked at once.

    Raises:
        UserError: as `cached_md5`.
    """
    here, below, known = f"{ws.root}/", f"{folder}/", _known_below(ws, folder)
    found = {}
    with told(folder):
        for entry in entries_below(str(folder)):
            seen = known.get(entry.path.removeprefix(here), ())
            fits = seen[:4] == _identity(entry.stat())
            found[entry.path.removeprefix(below)] = seen[4] if fits else cached_md5(ws, Path(entry.path))
    return found


def _known_below(ws: Workspace, folder: Path) -> dict[str, tuple[Any, ...]]:
    """What the store knows of the files of a folder; {} where it can't be read, which `cached_md5` tells or mends."""
    start = f"{folder}/".removeprefix(f"{ws.root}/")
    try:
        rows = _store(ws).execute(FIND_BELOW, (start, f"{start[:-1]}0")).fetchall()  # "0" follows "/"
    except sqlite3.Error:
        return {}
    return {row[0]: row[1:] for row in rows}


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
    now = _identity(path.stat())
    if known[:4] == now:
        return str(known[4])
    md5 = file_md5(path)
    if known[:3] == now[:3] and known[4] != md5:
        # Other bytes with the time of modification kept: DVC, which knows nothing of the time of change, is to see it.
        os.utime(path)
        now = _identity(path.stat())
    store.execute("INSERT OR REPLACE INTO md5s VALUES (?, ?, ?, ?, ?, ?)", (name, *now, md5))
    return md5


def _identity(stat: os.stat_result) -> tuple[int, int, int, int]:
    """Size, time of modification, inode, and the time of change, which no program can set back."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns


def key(code: str, params: object, inputs: Sequence[str]) -> str:
    """The digest of all that a shard's output depends on: its code, its params and the md5s of its inputs."""
    return hashlib.sha256(json.dumps([code, params, inputs], sort_keys=True).encode()).hexdigest()


def is_recorded(ws: Workspace, stage: str, shard: str, made_from: str, outputs: Sequence[str]) -> bool:
    """Whether outputs with these md5s were recorded as made from what `made_from` digests."""
    return _read(_record(ws, stage, shard)) == {"key": made_from, "outputs": outputs}


def record(ws: Workspace, stage: str, shard: str, made_from: str, outputs: Sequence[str]) -> None:
    """Remember that the outputs, by their md5s, were made from what `made_from` digests."""
    write_json(Path(_record(ws, stage, shard)), {"key": made_from, "outputs": outputs})


def _record(ws: Workspace, stage: str, shard: str) -> str:
    return f"{ws.root}/data/.keys/{stage}/{shard}.json"  # a text, since there are so many


def _read(path: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            value = json.loads(file.read())
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
