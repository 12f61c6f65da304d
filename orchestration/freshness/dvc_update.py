"""A few files of many, told to DVC: what is new goes to its cache, and into the stage's entry of `dvc.lock`.

For each stage `dvc commit` reads the declaration and, twice, the lock, and asks for every file: as much for one shard
as for a thousand. Here nothing but data may differ from what DVC itself has written. All else is left to DVC.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from ml.workspace import Workspace, lineage, stages
from ml.workspace.atomic import atomic_path
from ml.workspace.snapshot import Snapshot, folder_list
from ml.workspace.stages import Stage, entries_below

if TYPE_CHECKING:
    from dvc.repo import Repo

DATA = r"(    - path: {}\n      hash: md5\n      md5: ).+(\n      size: )\d+(\n      nfiles: )\d+(?=\n)"
COPIED = {"reflink", "copy"}  # kinds of cache for which DVC leaves the files in the work tree as they are


def update(repo: "Repo", ws: Workspace, names: Sequence[str]) -> list[str]:
    """Record those stages whose data alone has changed, with `repo` locked; the others, which DVC is to commit.

    Raises:
        OSError: a file can't be copied.
    """
    lock = ws.root / "dvc.lock"
    if not lock.is_file() or not COPIED.issuperset(repo.cache.local.cache_types) or repo.config["core"]["autostage"]:
        return list(names)
    at, before, left = Snapshot(ws), lock.read_text(encoding="utf-8"), list[str]()
    after = before
    for name in names:
        stage = stages.stage(ws, name)
        entry = _with_data(stage, at, after) if _data_alone_differs(stage, at) else None
        if entry is None:
            left.append(name)
        else:
            _fill_cache(repo, at, ws.root / stage.out)
            after = entry
    if after != before:
        with atomic_path(lock) as tmp:
            tmp.write_text(after, encoding="utf-8")
    return left


def _data_alone_differs(stage: Stage, at: Snapshot) -> bool:
    """Whether a stage was made with the code and the params that `dvc.lock` has, from and to the data as it is."""
    locked, made = lineage.locked(at.ws, stage.name), lineage.seen(at.ws, stage.name)
    if not (stage.per and locked and made) or locked["deps"].keys() != made["deps"].keys():
        return False
    other = [path for path in made["deps"] if path not in stage.data]
    return (
        locked["params"] == made["params"]
        and all(locked["deps"][path] == made["deps"][path] for path in other)
        and all(made["deps"][path] == at.version(at.ws.root / path) for path in stage.data)
        and made["out"] == at.version(at.ws.root / stage.out)
    )


def _with_data(stage: Stage, at: Snapshot, lock: str) -> str | None:
    """The text of `dvc.lock` with a stage's data as it is; None where its entry is not as DVC writes one."""
    entry = re.search(rf"^  {stage.name}:\n    cmd: {re.escape(stage.cmd)}\n(?:    .*\n)+", lock, re.MULTILINE)
    if entry is None:
        return None
    text = entry[0]
    for path in (*stage.data, stage.out):
        folder = at.ws.root / path
        sizes = [file.stat().st_size for file in entries_below(str(folder))]
        told = (at.version(folder), sum(sizes), len(sizes))
        text, found = re.subn(DATA.format(re.escape(path)), r"\g<1>{}\g<2>{}\g<3>{}".format(*told), text)
        if found != 1:
            return None
    return lock[: entry.start()] + text + lock[entry.end() :]


def _fill_cache(repo: "Repo", at: Snapshot, out: Path) -> None:
    """Copy what DVC's cache lacks of an output, its list last; DVC remembers the md5s of the files."""
    from dvc_data.hashfile.hash_info import HashInfo

    cache, new = repo.cache.local, dict(_lacking(repo, at, out))
    cache.add(list(new), repo.fs, list(new.values()))
    repo.state.save_many(((file, HashInfo("md5", md5), None) for file, md5 in new.items()), repo.fs)
    with NamedTemporaryFile(dir=repo.tmp_dir) as file:
        file.write(folder_list(at.listing(out)))
        file.flush()
        cache.add(file.name, repo.fs, at.version(out))


def _lacking(repo: "Repo", at: Snapshot, out: Path) -> Iterator[tuple[str, str]]:
    return ((f"{out}/{name}", md5) for name, md5 in at.listing(out).items() if not repo.cache.local.exists(md5))
