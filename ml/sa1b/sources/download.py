"""One file from the web or S3: resumed by byte range, retried with back-off and jitter, whole or not there at all.

Only attempts that bring nothing new use up the retries: a server that cuts a large file many times is borne with.
"""

import errno
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from itertools import count
from pathlib import Path

from ml.errors import UserError, cut
from ml.sa1b.sources.source import Check, Progress
from ml.sa1b.sources.transfer import Body, TransferError, Version, plain

BACKOFF, LONGEST_WAIT = 1.0, 60.0  # seconds before the second attempt, doubled each time up to the longest


def download(
    address: Callable[[], str],
    out: Path,
    retries: int,
    check: Check,
    progress: Progress = lambda done, total: None,
) -> None:
    """Download to `out` by way of a `.part` beside it, which an interrupted run goes on with.

    Args:
        address: asked before each attempt, since links expire.
        check: says what is wrong with the whole file, "" for nothing; what is wrong is downloaded again.

    Raises:
        UserError: `retries` more attempts in a row have brought nothing new, or the disk is full.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    idle = farthest = 0
    for attempts in count(1):
        before = _size(part)
        try:
            _whole(address(), part, check, progress)
            break
        except TransferError as error:
            if error.restart:
                part.unlink(missing_ok=True)
            # Farther than ever, not only than before: a server that begins anew each time would never be done.
            idle = 0 if _size(part) > farthest and _size(part) != before else idle + 1
            farthest = max(farthest, _size(part))
            if idle > retries:
                tried = f"gave up after {attempts} attempts, run again to go on"
                raise UserError(f"{cut(out.name, 40)}: {cut(str(error), 200)}; {tried}") from error
            time.sleep(max(min(error.wait, LONGEST_WAIT), _pause(idle)))
    part.replace(out)
    _state(part).unlink(missing_ok=True)


def _whole(address: str, part: Path, check: Check, progress: Progress) -> None:
    """One attempt, after which all of it is there and sound."""
    try:
        _attempt(address, part, progress)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{part}: no space left on the disk; free some and run again to go on") from error
        raise
    if fault := check(part):
        raise TransferError(fault, restart=True)


def _attempt(address: str, part: Path, progress: Progress) -> None:
    """Fetch what is missing of `part`."""
    have, known = _resume_point(part)
    if known is not None and known.total == have:
        return
    with _open(address, have, known) as body:
        _ensure_space(part, body)
        _state(part).write_text(json.dumps(asdict(body.version)), encoding="utf-8")
        done = body.start
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(done)
            file.seek(done)
            for chunk in body.chunks:
                file.write(chunk)
                done += len(chunk)
                progress(done, body.version.total)
            file.flush()
            os.fsync(file.fileno())
    if body.version.total not in (None, done):
        raise TransferError(f"{plain(address)}: ended after {done} of {body.version.total} bytes")


def _resume_point(part: Path) -> tuple[int, Version | None]:
    """The bytes that are there and what they are of. Without a validator nothing tells whether the rest would fit."""
    try:
        known = Version(**json.loads(_state(part).read_text(encoding="utf-8")))
        have = part.stat().st_size
    except (OSError, ValueError, TypeError):
        return 0, None
    return (have, known) if known.validator else (0, None)


def _open(address: str, start: int, known: Version | None) -> AbstractContextManager[Body]:
    """The bytes at an address; clients are imported late: whoever lists shards need not wait for them."""
    if address.startswith("s3://"):
        from ml.sa1b.sources.s3 import open_object

        return open_object(address, start, known)
    from ml.sa1b.sources.web import open_web

    return open_web(address, start, known)


def _ensure_space(part: Path, body: Body) -> None:
    free = shutil.disk_usage(part.parent).free
    held = _size(part)
    if body.version.total is not None and body.version.total - held > free:
        raise UserError(f"{part.parent}: {body.version.total - held} bytes are to come, {free} are free; make room")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _pause(idle: int) -> float:
    return min(BACKOFF * 2 ** min(idle, 16), LONGEST_WAIT) * random.uniform(0.5, 1.5)


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
