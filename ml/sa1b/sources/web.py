"""The bytes at an http(s) address."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from ml.errors import UserError
from ml.sa1b.sources.transfer import CHUNK, PASSING, Body, TransferError, Version, plain

TIMEOUT = (15, 60)  # seconds to connect, and without a byte


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
        raise TransferError(f"{plain(address)}: {type(error).__name__}") from error


def _refuse(answer: requests.Response, address: str) -> None:
    status = answer.status_code
    if status in PASSING or status >= 500 or status == 416:
        asked = answer.headers.get("Retry-After", "")
        wait = float(asked) if asked.isdigit() else 0
        raise TransferError(f"{plain(address)}: status {status}", wait, restart=status == 416)
    if status not in (200, 206):
        raise UserError(f"{plain(address)}: status {status}; check shards.source")


def _body(answer: requests.Response, start: int, address: str) -> Body:
    etag = answer.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    if answer.status_code == 206:
        span, _, whole = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        if not (first.isdigit() and int(first) == start):
            raise TransferError(f"{plain(address)}: bytes {span}, {start}- wanted", restart=True)
        total = int(whole) if whole.isdigit() else None
    else:
        start = 0
    return Body(start, Version(total, validator), answer.iter_content(CHUNK))
