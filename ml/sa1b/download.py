"""One file from the web or S3: resumed by byte range, retried with back-off and jitter, whole or not there at all."""

import errno
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from ml.errors import UserError

Progress = Callable[[int, int | None], None]
CHUNK = 1 << 20  # bytes
TIMEOUT = (15, 60)  # seconds to connect, and without a byte
BACKOFF, LONGEST_WAIT = 1.0, 60.0  # seconds before the second attempt, doubled each time up to the longest
PASSING = {401, 403, 404, 408, 410, 425, 429}  # statuses of expired links and busy servers; and 500 and up


class TransferError(Exception):
    """An attempt failed in a way that may pass.

    `wait`: seconds the server asks for; `restart`: what is there is of no use.
    """

    def __init__(self, text: str, wait: float = 0, restart: bool = False) -> None:
        super().__init__(text)
        self.wait = wait
        self.restart = restart


@dataclass(frozen=True)
class Version:
    """What identifies the bytes at an address: their number, and ETag or date ("": the server names none)."""

    total: int | None
    validator: str


@dataclass(frozen=True)
class Body:
    """An answer: bytes from `start` on."""

    start: int
    version: Version
    chunks: Iterator[bytes]


def download(
    address: Callable[[], str],
    out: Path,
    retries: int,
    check: Callable[[Path], str],
    progress: Progress | None = None,
) -> None:
    """Download to `out` by way of a `.part` beside it, which an interrupted run goes on with.

    Args:
        address: asked before each attempt, since links expire.
        check: says what is wrong with the whole file, "" for nothing; what is wrong is downloaded again.

    Raises:
        UserError: it can't be had after `retries` more attempts, or the disk is full.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    for attempt in range(retries + 1):
        try:
            _attempt(address(), part, progress or _silent)
            if fault := check(part):
                raise TransferError(fault, restart=True)
            break
        except TransferError as error:
            if error.restart:
                part.unlink(missing_ok=True)
            if attempt == retries:
                tried = f"gave up after {retries + 1} attempts, run again to go on"
                raise UserError(f"{out.name}: {error}; {tried}") from error
            time.sleep(max(min(error.wait, LONGEST_WAIT), _pause(attempt)))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise UserError(f"{part}: no space left on the disk; free some and run again to go on") from error
            raise
    part.replace(out)
    _state(part).unlink(missing_ok=True)


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
        raise TransferError(f"{_plain(address)}: ended after {done} of {body.version.total} bytes")


def _resume_point(part: Path) -> tuple[int, Version | None]:
    """The bytes that are there and what they are of. Without a validator nothing tells whether the rest would fit."""
    try:
        known = Version(**json.loads(_state(part).read_text(encoding="utf-8")))
        have = part.stat().st_size
    except (OSError, ValueError, TypeError):
        return 0, None
    return (have, known) if known.validator else (0, None)


def _open(address: str, start: int, known: Version | None) -> AbstractContextManager[Body]:
    if address.startswith("s3://"):
        from ml.sa1b.s3 import open_object

        return open_object(address, start, known)
    return open_web(address, start, known)


@contextmanager
def open_web(address: str, start: int, known: Version | None) -> Iterator[Body]:
    """The bytes at an http(s) address, from `start` on if they are still those of `known`, else from 0.

    Raises:
        TransferError: the server refuses for now, or the connection breaks, also while the chunks are read.
        UserError: the server refuses for good.
    """
    headers = {"Accept-Encoding": "identity"}
    if start and known is not None:
        headers |= {"Range": f"bytes={start}-", "If-Range": known.validator}
    try:
        with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            _refuse(answer, address)
            yield _body(answer, start, address)
    except requests.RequestException as error:
        raise TransferError(f"{_plain(address)}: {type(error).__name__}") from error


def _refuse(answer: requests.Response, address: str) -> None:
    status = answer.status_code
    if status in PASSING or status >= 500 or status == 416:
        asked = answer.headers.get("Retry-After", "")
        wait = float(asked) if asked.isdigit() else 0
        raise TransferError(f"{_plain(address)}: status {status}", wait, restart=status == 416)
    if status not in (200, 206):
        raise UserError(f"{_plain(address)}: status {status}; check shards.source")


def _body(answer: requests.Response, start: int, address: str) -> Body:
    etag = answer.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    if answer.status_code == 206:
        span, _, whole = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        if not (first.isdigit() and int(first) == start):
            raise TransferError(f"{_plain(address)}: bytes {span}, {start}- wanted", restart=True)
        total = int(whole) if whole.isdigit() else None
    else:
        start = 0
    return Body(start, Version(total, validator), answer.iter_content(CHUNK))


def _ensure_space(part: Path, body: Body) -> None:
    free = shutil.disk_usage(part.parent).free
    held = part.stat().st_size if part.exists() else 0
    if body.version.total is not None and body.version.total - held > free:
        raise UserError(f"{part.parent}: {body.version.total - held} bytes are to come, {free} are free; make room")


def _pause(attempt: int) -> float:
    return min(BACKOFF * 2**attempt, LONGEST_WAIT) * random.uniform(0.5, 1.5)


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _plain(address: str) -> str:
    """Without the query, which holds the signature."""
    return address.partition("?")[0]


def _silent(done: int, total: int | None) -> None:
    """No one watches."""
