"""`dvc.lock` and DVC's cache, brought up to what a run has made."""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import psutil

from ml.errors import NO_SPACE, UserError
from ml.workspace import Workspace, stages
from ml.workspace.snapshot import Snapshot
from orchestration.freshness.dvc_update import update
from orchestration.freshness.lock_backup import backed_up

ATTEMPTS = 2  # at copying what DVC says it has copied, and has not


def commit(ws: Workspace, names: Sequence[str]) -> None:
    """Record stages as DVC would had `dvc repro` run them: afterwards `dvc status` finds them unchanged.

    Outputs are copied (or reflinked) into DVC's cache, from where `dvc push` takes them. DVC writes `dvc.lock` also
    where it could not copy, so the cache itself is looked at, and what it lacks is copied once more.

    Raises:
        UserError: DVC refuses, for example since another `dvc` is at work here, or a copy does not arrive.
    """
    _tidy(ws)
    for _ in range(ATTEMPTS):
        if names:
            _commit(ws, names)
        names = [name for name in names if next(uncached(Snapshot(ws), name), None) is not None]
    if names:
        lacking, cache = next(uncached(Snapshot(ws), names[0])), cache_folder(ws)
        size = lacking.stat().st_size if lacking.is_file() else 0
        full = size >= shutil.disk_usage(ws.root / ".dvc").free
        reason = NO_SPACE if full else "see that the folder can be written, then run again"
        raise UserError(f"{lacking}: not copied into DVC's cache ({cache}), so that dvc push would lose it: {reason}")


def uncached(at: Snapshot, name: str) -> Iterator[Path]:
    """What of a stage's output, as it lies there, DVC's cache does not hold with its size: its list, or files of it."""
    out = at.ws.root / stages.stage(at.ws, name).out
    cache, members = cache_folder(at.ws), cached_list(at.ws, at.version(out) or "")
    if members is None:
        yield out
    for name, md5 in (members or {}).items():
        if not _held(f"{cache}/{md5[:2]}/{md5[2:]}", f"{out}/{name}"):
            yield out / name


def cached_list(ws: Workspace, version: str) -> dict[str, str] | None:
    """The md5 of each file of an output at a version, as DVC's cache has it; None where it holds no such list."""
    try:
        listed = (cache_folder(ws) / version[:2] / version[2:]).read_bytes()
    except OSError:
        return None
    whole = f"{hashlib.md5(listed).hexdigest()}.dir" == version
    return {entry["relpath"]: entry["md5"] for entry in json.loads(listed)} if whole else None


def cache_folder(ws: Workspace) -> Path:
    """Where DVC's cache keeps files by their md5: two letters of it a folder, the rest a file."""
    return _cache_folder(ws.root)


def _tidy(ws: Workspace) -> None:
    """Drop what killed processes left in DVC's folders: entries of its lock, and halves of copies in the cache.

    DVC believes an entry whose process id lives again, and refuses for good where its file of locks was cut.
    """
    if (lock := ws.root / "dvc.lock").is_file() and not lock.stat().st_size:
        lock.unlink()  # cut by a full disk: DVC refuses an empty one for good
    if any(holders(ws).values()):
        return
    rwlock(ws).unlink(missing_ok=True)
    files = cache_folder(ws)
    runs = files.parents[1] / "runs"  # what DVC remembers of commands
    for scrap in (*files.glob("*.tmp"), *files.glob("*/*.tmp"), *runs.glob("*/*/*.tmp")):
        scrap.unlink(missing_ok=True)


def rwlock(ws: Workspace) -> Path:
    """DVC's file of locks."""
    return ws.root / ".dvc" / "tmp" / "rwlock"


def holders(ws: Workspace) -> dict[int, bool]:
    """The processes named in DVC's file of locks, and whether each lives; where the file was cut, 0, which does not."""
    try:
        written, entries = rwlock(ws).stat().st_mtime, json.loads(rwlock(ws).read_text(encoding="utf-8"))
        found = list(entries.get("write", {}).values())
        found += [entry for readers in entries.get("read", {}).values() for entry in readers]
        return {entry["pid"]: _lives(entry["pid"], written) for entry in found}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):  # cut by a kill
        return {0: False}


def _lives(pid: int, written: float) -> bool:
    """Whether the process that wrote an entry is still there, and not another that got its id later."""
    try:
        return psutil.Process(pid).create_time() <= written
    except psutil.Error:
        return False


def _commit(ws: Workspace, names: Sequence[str]) -> None:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it could not copy is told once, below
    try:
        with backed_up(ws), Repo(str(ws.root)) as repo:
            with lock_repo(repo):
                left = names if any(holders(ws).values()) else update(repo, ws, names)
            for name in left:
                repo.commit(f"{ws.root / 'dvc.yaml'}:{name}", force=True)
    except DvcException as error:
        raise UserError(f"dvc.lock is not up to date: {' '.join(str(error).split())}; then run again") from error
    except OSError as error:
        reason = NO_SPACE if error.errno == errno.ENOSPC else f"{error.strerror or error}; mend that and run again"
        raise UserError(
            f"{error.filename or cache_folder(ws)}: DVC's cache does not hold {', '.join(names)}: {reason}"
        ) from error


def _held(cached: str, file: str) -> bool:
    try:
        return os.stat(cached).st_size == os.stat(file).st_size  # noqa: PTH116  (of every file, at each look)
    except OSError:
        return False


@lru_cache(maxsize=1)
def _cache_folder(root: Path) -> Path:
    """As DVC finds it, without DVC, which takes longer than all of a run that has nothing to do.

    Of its four files of configuration the last that names `cache.dir` counts; a relative one is relative to its file.
    """
    from configobj import ConfigObj
    from platformdirs import site_config_dir, user_config_dir

    user = os.environ.get("DVC_GLOBAL_CONFIG_DIR") or user_config_dir("dvc")
    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or site_config_dir("dvc")
    folder = root / ".dvc" / "cache"
    for file in (
        Path(system, "config"),
        Path(user, "config"),
        root / ".dvc" / "config",
        root / ".dvc" / "config.local",
    ):
        if file.is_file() and (named := ConfigObj(str(file)).get("cache", {}).get("dir")):
            folder = file.parent / Path(named).expanduser()
    return folder / "files" / "md5"
