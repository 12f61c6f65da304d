"""`dvc push` to S3 (a real server on this machine), and `dvc pull` into a fresh clone, where nothing is run again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml.workspace import Workspace
from ml.workspace.snapshot import Snapshot
from orchestration.freshness.staleness import state_of
from tests import servers

FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]


@pytest.fixture
def s3(monkeypatch):
    for name, value in servers.KEYS.items():
        monkeypatch.setenv(name, value)
    with servers.s3("town") as address:
        yield address


def do(root: Path, *command: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=root, env=os.environ | {"PATH": path}, check=True, capture_output=True)


@pytest.mark.slow
def test_a_fresh_clone_is_restored_and_fresh(town, s3, tmp_path):
    root, clone = town.ws.root, tmp_path / "clone"
    do(root, "dvc", "remote", "add", "-d", "s3", "s3://town/data")
    do(root, "dvc", "remote", "modify", "s3", "endpointurl", s3)
    do(root, "git", "add", "-A")
    do(root, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "A run")
    do(root, "dvc", "push", "-q", *FIRST)
    do(tmp_path, "git", "clone", "-q", str(root), str(clone))
    ws = Workspace(clone)
    assert {state_of(name, Snapshot(ws), town.params).state for name in FIRST} == {"missing"}
    do(clone, "dvc", "pull", "-q", *FIRST)
    assert {name: state_of(name, Snapshot(ws), town.params).state for name in FIRST} == dict.fromkeys(FIRST, "fresh")
    town.ws = ws
    assert (town.run().materialized, town.watcher.shards) == ([], [])
