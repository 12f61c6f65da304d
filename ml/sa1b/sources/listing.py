"""Where shards come from: a links file, an http(s) base, an S3 prefix, or a local folder. Toytown draws its own."""

import os
import re
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from ml.errors import UserError
from ml.params import Params
from ml.sa1b.shards.tar import tar_fault
from ml.sa1b.sources.download import Progress, download
from ml.workspace import Workspace
from ml.workspace.keys import file_md5
from ml.workspace.report import Report

TOYTOWN = "toytown"
HEADER = ("file_name", "cdn_link")  # first line of the links file Meta hands out
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.tar")
MD5 = re.compile(r"([0-9a-f]{32})\s+\*?(\S+)")


def list_shards(params: Params, ws: Workspace) -> list[str]:
    """The names of the shards, without `.tar`, sorted; the first `shards.count` of them.

    Raises:
        UserError: the source can't be read, has no shards, or needs a count that is not given.
    """
    source, count = params.shards.source, params.shards.count
    if source == TOYTOWN or _is_web(source):
        if count is None:
            raise UserError(f"shards.count: null, but {source} can't be listed; say how many shards there are")
        return [f"sa_{number:06d}" for number in range(count)]
    if source.startswith("s3://"):
        files = _list_s3(source)
    elif (ws.root / source).is_dir():
        files = [path.name for path in (ws.root / source).glob("*.tar")]
    else:
        files = list(read_links(ws.root / source))
    if bad := next((file for file in files if not NAME.fullmatch(file)), None):
        raise UserError(f"{source}: {bad!r} is not the name of a shard; names like sa_000000.tar are wanted")
    if not files:
        raise UserError(f"{source}: no .tar in it; shards.source is to name SA-1B's tars")
    return [file.removesuffix(".tar") for file in sorted(files)][:count]


def fetch(shard: str, params: Params, ws: Workspace, progress: Progress | None = None) -> Report:
    """Bring one shard to `data/shards/NAME.tar`: downloaded and resumed where it broke off, or linked in place.

    Args:
        progress: called with the bytes that are there and the bytes in all (None: not known).

    Raises:
        UserError: it can't be had, or is not what the list of checksums says.
    """
    source, out = params.shards.source, ws.shard_file("sa1b_shards", shard, ".tar")
    check = partial(fault, md5=expected_md5(shard, params, ws))
    remote = _is_web(source) or source.startswith("s3://")
    if not remote and (ws.root / source).is_dir():
        _link(ws.root / source / f"{shard}.tar", out, check)
    else:
        download(lambda: _address(shard, source, ws), out, params.shards.retries, check, progress)
    size = out.stat().st_size
    return Report(numbers={"shards": 1, "bytes": size}, tables={"shards": [{"shard": shard, "bytes": size}]})


def read_links(path: Path) -> dict[str, str]:
    """File name -> address, from lines of `file_name<TAB>cdn_link`.

    Raises:
        UserError: the file is missing or a line is not like that.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        kinds = "toytown, a folder, a links file, http(s)://..., s3://bucket/prefix"
        raise UserError(f"shards.source: {path} is not readable ({error}); allowed: {kinds}") from error
    links: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        fields = line.strip().split("\t")
        if fields == [""] or (number == 1 and tuple(fields) == HEADER):
            continue
        if len(fields) != 2 or not _is_web(fields[1]):
            raise UserError(f"{path}:{number}: {line[:60]!r}; file_name, a tab and an http(s) link are wanted")
        if fields[0] in links:
            raise UserError(f"{path}:{number}: {fields[0]} is there a second time; leave one of the two")
        links[fields[0]] = fields[1]
    return links


def expected_md5(shard: str, params: Params, ws: Workspace) -> str | None:
    """The md5 that `shards.checksums` (lines of `md5  name`) gives for a shard; None: there is no such list.

    Raises:
        UserError: the list can't be read or lacks the shard.
    """
    if params.shards.checksums is None:
        return None
    path = ws.root / params.shards.checksums
    try:
        found = MD5.findall(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"shards.checksums: {path} is not readable ({error})") from error
    sums = {Path(name).name: md5 for md5, name in found}
    if f"{shard}.tar" not in sums:
        raise UserError(f"{path}: no line for {shard}.tar; add it, or set shards.checksums to null")
    return sums[f"{shard}.tar"]


def fault(path: Path, md5: str | None) -> str:
    """What is wrong with a whole shard ("": nothing): not a tar, cut, or another md5 than the one given."""
    if wrong := tar_fault(path):
        return wrong
    found = file_md5(path) if md5 is not None else None
    return "" if found == md5 else f"md5 {found}, {md5} wanted"


def _address(shard: str, source: str, ws: Workspace) -> str:
    """Where the shard is right now: links expire, so the links file is read each time."""
    if _is_web(source) or source.startswith("s3://"):
        return f"{source.rstrip('/')}/{shard}.tar"
    links = read_links(ws.root / source)
    if f"{shard}.tar" not in links:
        raise UserError(f"{ws.root / source}: no link for {shard}.tar; bring the links file up to date")
    return links[f"{shard}.tar"]


def _is_web(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _link(source: Path, out: Path, check: Callable[[Path], str]) -> None:
    """Put a local tar in place without copying: one file with two names, or across disks a symbolic link."""
    if not source.is_file():
        raise UserError(f"{source}: no such shard; shards.source names a folder of tars")
    if wrong := check(source):
        raise UserError(f"{source}: {wrong}; replace it, or correct shards.checksums")
    out.parent.mkdir(parents=True, exist_ok=True)
    tmp = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    tmp.unlink(missing_ok=True)
    try:
        tmp.hardlink_to(source.resolve())
    except OSError:  # another disk, or a file system without hard links
        tmp.symlink_to(source.resolve())
    tmp.replace(out)
    tmp.unlink(missing_ok=True)  # renaming one hard link onto another of the same file leaves both


@lru_cache(maxsize=1)
def _list_s3(source: str) -> list[str]:
    from ml.sa1b.sources.s3 import list_tars

    return list_tars(source)
