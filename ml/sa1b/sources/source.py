"""What a source of shards can do; `listing.source_of` picks the one that `shards.source` means."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

Progress = Callable[[int, int | None], None]  # called with the bytes that are there and those in all (None: not known)
Check = Callable[[Path], str]  # what is wrong with a whole shard, "" for nothing


class Source(Protocol):
    """A place that has shards, each a file `NAME.tar`."""

    def files(self) -> list[str] | None:
        """The names of its tars; None: it can't be listed.

        Raises:
            UserError: it can't be read.
        """
        ...

    def bring(self, shard: str, out: Path, retries: int, check: Check, progress: Progress) -> None:
        """Bring one shard to `out`, whole and sound by `check`, or not at all.

        Raises:
            UserError: it can't be had.
        """
        ...
