"""What an attempt at a download says: the bytes that come, what they are of, and what may pass."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from ml.errors import cut

CHUNK = 1 << 20  # bytes
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


def plain(address: str) -> str:
    """An address without its query, which holds the signature, and without a password; cut short."""
    return cut(re.sub(r"//[^/@]*@", "//", re.split("[?#]", address, maxsplit=1)[0]))


def asked_wait(asked: str) -> float:
    """Seconds that a server asks for in `Retry-After`, given as a number or as a date; 0 where it does not."""
    asked = asked.strip()
    if re.fullmatch(r"\d{1,9}(\.\d*)?", asked, re.ASCII):
        return float(asked)
    try:
        date = parsedate_to_datetime(asked)
    except ValueError:
        return 0
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
