"""`dvc.lock` and DVC's cache after a run, also where killed processes left their traces in DVC's folders."""

import errno
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from ml.workspace import Workspace
from orchestration.freshness.dvc_lock import cache_folder
from orchestration.freshness.lock_backup import backed_up
from orchestration.freshness.staleness import states


def changed_in_dvc(town) -> set[str]:
    with Repo(str(town.ws.root)) as repo:
        found = repo.status(targets=[f"{town.ws.root / 'dvc.yaml'}:{name}" for name in town.states()])
    return {name.rpartition(":")[2] for name in found}


def entry(pid: int) -> str:
    return json.dumps({"write": {"/somewhere": {"pid": pid, "cmd": "dvc commit"}}, "read": {}})


@pytest.mark.parametrize("lost", ["**/*", "**/*.dir", "**/*[!r]"], ids=["all", "lists", "members"])
def test_what_the_cache_lacks_is_told_and_copied_although_the_lock_names_it(town, lost):
    """As in a clone of a repository that holds a `dvc.lock`: the output comes out the same, the cache is empty."""
    cached = [path for path in (town.ws.root / ".dvc" / "cache").glob(lost) if path.is_file()]
    for path in cached:
        path.unlink()
    assert cached and not all(state.locked for state in town.states().values())
    assert town.stale() == set()
    assert any("DVC's cache lacks data/" in reason for state in town.states().values() for reason in state.reasons)
    assert (town.run().materialized, changed_in_dvc(town)) == ([], set())
    assert all(path.is_file() for path in cached)
    assert all(state.locked and not state.reasons for state in town.states().values())


def test_a_file_that_cannot_be_copied_into_the_cache_is_named(town):
    cached = next(path for path in (town.ws.root / ".dvc" / "cache").glob("**/*.dir"))
    shutil.rmtree(cached.parent)
    cached.parent.write_text("no folder")
    error = town.run().errors["dvc.lock"]
    assert re.search(r"\.dir: DVC's cache does not hold .*Not a directory", error), error
    cached.parent.unlink()
    town.run()
    assert changed_in_dvc(town) == set()


@pytest.mark.parametrize(
    "left", ["", "{", "[]", entry(1), entry(os.getpid())], ids=["cut", "half", "odd", "init", "us"]
)
def test_locks_of_killed_processes_are_dropped(town, left):
    """Process ids live again: those here are of processes that are older than what they are said to have written."""
    path = town.ws.root / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(left)
    os.utime(path, (0, 0))
    town.edit(filter__predicted_iou=0.9)
    assert town.run().materialized == ["filtered_masks"]
    assert changed_in_dvc(town) == set()


@pytest.mark.parametrize("folder", ["files/md5/0a", "runs/0a/0a01"])
def test_halves_of_copies_are_swept(town, folder):
    scrap = town.ws.root / ".dvc" / "cache" / folder / ".x8Jd.tmp"
    scrap.parent.mkdir(parents=True, exist_ok=True)
    scrap.write_bytes(bytes(1000))
    town.edit(filter__predicted_iou=0.9)
    town.run()
    assert not scrap.exists()


@pytest.mark.parametrize("level", ["config", "config.local", "global"])
@pytest.mark.parametrize("named", ["elsewhere", "/cache/dvc"])
def test_the_cache_is_where_dvc_has_it(tmp_path, monkeypatch, level, named):
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    root = tmp_path / "town"
    for folder in (root / ".dvc", tmp_path / "global"):
        folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    file = tmp_path / "global" / "config" if level == "global" else root / ".dvc" / level
    file.write_text(f"[cache]\n    dir = {named}\n")
    with Repo(str(root)) as repo:
        assert cache_folder(Workspace(root)).resolve() == Path(repo.cache.local.path).resolve()


def test_a_lock_file_cut_while_dvc_wrote_it_is_taken_back(town):
    lock, copy = town.ws.root / "dvc.lock", town.ws.root / ".dvc" / "tmp" / "dvc.lock.kept"
    whole = lock.read_bytes()
    with pytest.raises(OSError), backed_up(town.ws):
        lock.write_bytes(whole[: len(whole) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")
    assert lock.read_bytes() == whole and not copy.exists()


@pytest.mark.parametrize("cut", [0, 0.5])
def test_a_lock_file_cut_by_a_kill_is_taken_back_by_whoever_looks_next(town, cut):
    lock, copy = town.ws.root / "dvc.lock", town.ws.root / ".dvc" / "tmp" / "dvc.lock.kept"
    whole = lock.read_bytes()
    copy.write_bytes(whole)
    lock.write_bytes(whole[: int(cut * len(whole))])
    assert [state.name for state in states(town.ws, town.params) if state.locked] == list(town.states())
    assert lock.read_bytes() == whole and not copy.exists()


def test_a_lock_file_that_is_whole_is_never_replaced_by_an_older_one(town):
    lock, copy = town.ws.root / "dvc.lock", town.ws.root / ".dvc" / "tmp" / "dvc.lock.kept"
    whole = lock.read_bytes()
    copy.write_bytes(b"")
    states(town.ws, town.params)
    assert lock.read_bytes() == whole and not copy.exists()


def test_where_there_was_no_lock_file_a_cut_one_goes(town):
    lock, copy = town.ws.root / "dvc.lock", town.ws.root / ".dvc" / "tmp" / "dvc.lock.kept"
    whole = lock.read_bytes()
    copy.write_bytes(b"")
    lock.write_bytes(whole[:100])
    town.run()
    assert changed_in_dvc(town) == set() and not copy.exists()
