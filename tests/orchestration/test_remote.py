"""`dvc push` to S3 (a real server on this machine), and `dvc pull` into a fresh clone, where nothing is run again."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from ml.workspace import Workspace
from ml.workspace.snapshot import Snapshot
from orchestration.freshness.staleness import state_of

FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]


@pytest.fixture
def s3(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="town")
    yield f"http://{host}:{port}"
    moto.stop()


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
