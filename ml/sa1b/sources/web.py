"""The bytes at an http(s) address."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from ml.errors import UserError, cut
from ml.sa1b.sources.transfer import CHUNK, PASSING, Body, TransferError, Version, asked_wait, plain

TIMEOUT = (15, 60)  # seconds to connect, and without a byte
REFUSAL = 4096  # bytes of a refusal that are read for its reason
EXPIRED = re.compile(rb"expire|RequestTimeout|TokenRefresh", re.IGNORECASE)  # what AWS says with status 400
PAGE = (b"<!doctype", b"<html", b"<?xml")  # how a page begins, whatever type it is sent as
SPAN = re.compile(r"bytes\s+(\d+)-\d+/(\d+|\*)", re.IGNORECASE | re.ASCII)


@contextmanager
def open_web(address: str, start: int, known: Version | None) -> Iterator[Body]:
    """The bytes at an http(s) address, from `start` on if they are still those of `known`, else from 0.

    Raises:
        TransferError: the server refuses for now, sends something else, or the connection breaks, also while the
            chunks are read.
        UserError: the server refuses for good.
    """
    headers = {"Accept-Encoding": "identity"}
    if start and known is not None:
        headers |= {"Range": f"bytes={start}-", "If-Range": known.validator}
    try:
        with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            _refuse(answer, address)
            _refuse_content(answer, address)
            yield _resumed(answer, start, known, address) if answer.status_code == 206 else _whole(answer, address)
    except requests.TooManyRedirects as error:
        raise TransferError(f"{plain(address)}: redirected again and again, in a circle") from error
    except (requests.RequestException, HTTPError, UnicodeError) as error:  # UnicodeError: of a name that is no host's
        raise TransferError(f"{plain(address)}: {type(error).__name__}") from error


def _refuse(answer: requests.Response, address: str) -> None:
    status = answer.status_code
    if status in PASSING or status >= 500 or status == 416 or (status == 400 and _expired(answer)):
        hint = " (has the link expired?)" if status in (400, 401, 403, 410) else ""
        raise TransferError(
            f"{plain(address)}: status {status}{hint}",
            _wait(answer),
            restart=status == 416,
        )
    if status not in (200, 206):
        raise UserError(f"{plain(address)}: status {status}; check shards.source")


def _expired(answer: requests.Response) -> bool:
    """Whether a bad request is one of an expired token: a fresh link may do."""
    return EXPIRED.search(next(answer.iter_content(REFUSAL), b"")) is not None


def _wait(answer: requests.Response) -> float:
    return asked_wait(answer.headers.get("Retry-After", ""))


def _refuse_content(answer: requests.Response, address: str) -> None:
    """Refuse an answer that is a page, or packed though identity was asked for: its length would be another's."""
    kind = answer.headers.get("Content-Type", "").lower()
    if kind.strip().startswith(("text/html", "application/xhtml")):
        raise _page(answer, address)
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise TransferError(
            f"{plain(address)}: came with Content-Encoding {cut(encoding, 20)}, though identity was asked for; "
            "let the server send tars as they are"
        )


def _page(answer: requests.Response, address: str) -> TransferError:
    led = f" (it leads to {cut(urlsplit(answer.url).hostname or '', 40)})" if answer.history else ""
    text = f"{plain(address)}: a web page came, not a tar: is the link behind a login?{led}"
    return TransferError(text, _wait(answer))


def _whole(answer: requests.Response, address: str) -> Body:
    length = answer.headers.get("Content-Length", "") if "Transfer-Encoding" not in answer.headers else ""
    total = int(length) if re.fullmatch(r"\d+", length, re.ASCII) else None
    return Body(0, Version(total, _validator(answer)), _chunks(answer, address, first=True))


def _resumed(answer: requests.Response, start: int, known: Version | None, address: str) -> Body:
    """A part from `start` on; a server may ignore `If-Range`, so that it is compared with what is `known` here."""
    text = answer.headers.get("Content-Range", "")
    span = SPAN.fullmatch(text.strip())
    if not span or int(span[1]) != start:
        raise TransferError(f"{plain(address)}: {cut(text, 40) or 'no range'}, bytes {start}- wanted", restart=True)
    old = known if start and known is not None else Version(None, "")
    new = Version(old.total if span[2] == "*" else int(span[2]), _validator(answer) or old.validator)
    if new.validator != (old.validator or new.validator) or new.total != (old.total or new.total):
        raise TransferError(f"{plain(address)}: the part is of another file than what is there", restart=True)
    return Body(start, new, _chunks(answer, address, first=start == 0))


def _validator(answer: requests.Response) -> str:
    etag = answer.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _chunks(answer: requests.Response, address: str, first: bool) -> Iterator[bytes]:
    """The bytes as they arrive: waiting for full chunks would lose the last, where a connection breaks."""
    while chunk := answer.raw.read1(CHUNK, decode_content=False):
        if first and chunk.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGE):
            raise _page(answer, address)
        first = False
        yield chunk
