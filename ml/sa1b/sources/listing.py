"""The shards of `shards.source`: a links file, an http(s) base, an S3 prefix, a local folder. Toytown draws its own."""

import re
from functools import partial
from pathlib import Path

from ml.errors import UserError, cut
from ml.params import Params
from ml.sa1b.sources.folder import Folder
from ml.sa1b.sources.lines import numbered, shown
from ml.sa1b.sources.remote import WEB, Links, Prefix
from ml.sa1b.sources.source import Progress, Source
from ml.sa1b.sources.transfer import plain
from ml.workspace import Workspace
from ml.workspace.keys import file_md5
from ml.workspace.report import Report

TOYTOWN = "toytown"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}\.tar")
MD5 = re.compile(r"([0-9a-fA-F]{32})[ \t]+\*?(.+)")


def source_of(params: Params, ws: Workspace) -> Source:
    """The source that `shards.source` means; a new kind of source is registered here."""
    named = params.shards.source
    if named.startswith((*WEB, "s3://")):
        return Prefix(named)
    path = ws.root / named
    return Folder(path) if path.is_dir() else Links(path)


def list_shards(params: Params, ws: Workspace) -> list[str]:
    """The names of the shards, without `.tar`, sorted; the first `shards.count` of them.

    Raises:
        UserError: the source can't be read, has no shards, or needs a count that is not given.
    """
    source, count = cut(plain(params.shards.source)), params.shards.count
    files = None if params.shards.source == TOYTOWN else source_of(params, ws).files()
    if files is None and count is None:
        raise UserError(f"shards.count: null, but {source} can't be listed; say how many shards there are")
    if files is None:
        return [f"sa_{number:06d}" for number in range(count or 0)]
    if bad := next((file for file in files if not NAME.fullmatch(file)), None):
        raise UserError(
            f"{source}: {cut(plain(bad), 60)!r} is not the name of a shard; names like sa_000000.tar are wanted"
        )
    if not files:
        raise UserError(f"{source}: no .tar in it; shards.source is to name SA-1B's tars")
    return [file.removesuffix(".tar") for file in sorted(files)][:count]


def fetch(shard: str, params: Params, ws: Workspace, progress: Progress = lambda done, total: None) -> Report:
    """Bring one shard to `data/shards/NAME.tar`: downloaded and resumed where it broke off, or linked in place.

    Raises:
        UserError: it can't be had, or is not what the list of checksums says.
    """
    out = ws.shard_file("sa1b_shards", shard, ".tar")
    check = partial(fault, md5=expected_md5(shard, params, ws))
    source_of(params, ws).bring(shard, out, params.shards.retries, check, progress)
    size = out.stat().st_size
    return Report(numbers={"shards": 1, "bytes": size}, tables={"shards": [{"shard": shard, "bytes": size}]})


def expected_md5(shard: str, params: Params, ws: Workspace) -> str | None:
    """The md5 that `shards.checksums` (lines of `md5  name`) gives for a shard; None: there is no such list.

    Raises:
        UserError: the list can't be read or lacks the shard.
    """
    if params.shards.checksums is None:
        return None
    path = ws.root / params.shards.checksums
    sums = _read_sums(path)
    if f"{shard}.tar" not in sums:
        raise UserError(f"{shown(path)}: no line for {shard}.tar; add it, or set shards.checksums to null")
    return sums[f"{shard}.tar"]


def _read_sums(path: Path) -> dict[str, str]:
    """File name without its folders -> md5."""
    sums: dict[str, str] = {}
    for number, line in numbered(path, "shards.checksums", "null, or a text of lines `md5  name`"):
        if not (found := MD5.fullmatch(line)):
            raise UserError(f"{shown(path)}:{number}: {cut(plain(line), 60)!r}; an md5, blanks and a name are wanted")
        name, md5 = Path(found[2]).name, found[1].lower()
        if sums.setdefault(name, md5) != md5:
            raise UserError(f"{shown(path)}:{number}: another md5 for {cut(name, 60)} than before; leave the right one")
    return sums


def fault(path: Path, md5: str | None) -> str:
    """What is wrong with a whole shard ("": nothing): not a tar, cut, or another md5 than the one given."""
    from ml.sa1b.shards.whole import shard_fault  # late: who lists shards need not wait for numpy

    if wrong := shard_fault(path):
        return wrong
    found = file_md5(path) if md5 is not None else None
    return "" if found == md5 else f"md5 {found}, {md5} wanted"
