"""Shards that are downloaded: from a links file, below an http(s) address, below an S3 prefix."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml.errors import UserError, cut
from ml.sa1b.sources.download import download
from ml.sa1b.sources.lines import numbered, shown
from ml.sa1b.sources.source import Check, Progress
from ml.sa1b.sources.transfer import plain

HEADER = ("file_name", "cdn_link")  # first line of the links file Meta hands out
WEB = ("http://", "https://")
LINK = re.compile(r"https?://[^\s\x00-\x1f]+")
ALLOWED = "toytown, a folder, a links file, http(s)://..., s3://bucket/prefix"


@dataclass(frozen=True)
class Prefix:
    """Shards below one address; of those that it can list, a bucket's."""

    address: str

    def files(self) -> list[str] | None:
        """The names of a bucket's tars; None: a web server can't be asked."""
        return _list_bucket(self.address) if self.address.startswith("s3://") else None

    def bring(self, shard: str, out: Path, retries: int, check: Check, progress: Progress) -> None:
        """Download a shard, resumed where it broke off."""
        download(lambda: f"{self.address.rstrip('/')}/{shard}.tar", out, retries, check, progress)


@dataclass(frozen=True)
class Links:
    """Shards by the links file of the SA-1B release: lines of `file_name<TAB>cdn_link`."""

    path: Path

    def files(self) -> list[str]:
        """The names in the file."""
        return list(read_links(self.path))

    def bring(self, shard: str, out: Path, retries: int, check: Check, progress: Progress) -> None:
        """Download a shard; links expire, so the file is read again before each attempt."""
        download(lambda: self._link(f"{shard}.tar"), out, retries, check, progress)

    def _link(self, file: str) -> str:
        links = read_links(self.path)
        if file not in links:
            raise UserError(f"{shown(self.path)}: no link for {file}; bring the links file up to date")
        return links[file]


def read_links(path: Path) -> dict[str, str]:
    """File name -> address, from lines of `file_name<TAB>cdn_link`.

    Raises:
        UserError: the file is missing or a line is not like that; a link's signature is never told.
    """
    links: dict[str, str] = {}
    for number, line in numbered(path, "shards.source", ALLOWED):
        fields = [field.strip() for field in line.split("\t")]
        if number == 1 and tuple(fields) == HEADER:
            continue
        where = f"{shown(path)}:{number}"
        if len(fields) != 2 or not LINK.fullmatch(fields[1]):
            raise UserError(f"{where}: {cut(plain(line), 60)!r}; file_name, a tab and an http(s) link are wanted")
        if fields[0] in links:
            name = cut(plain(fields[0]), 60)
            raise UserError(f"{where}: {name} is there a second time; leave one of the two")
        links[fields[0]] = fields[1]
    return links


@lru_cache(maxsize=1)
def _list_bucket(address: str) -> list[str]:
    from ml.sa1b.sources.s3 import list_tars

    return list_tars(address)
