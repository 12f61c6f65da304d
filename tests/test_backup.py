"""The backups that docs/guides/backup.md tells of, made and restored."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
import yaml

from ml.training.tracking import sending, store, tracking
from ml.workspace import Workspace
from ml.workspace.settings import load
from tests import servers

REPOSITORY = Path(__file__).parents[1]
STAGE = "mask_region_alignment"


@pytest.fixture
def workspace(tmp_path) -> Callable[..., Workspace]:
    """A function that makes a workspace with a store of its own, or with one at an address."""

    def make(name: str, uri: str | None) -> Workspace:
        root = tmp_path / name
        root.mkdir()
        shutil.copy2(REPOSITORY / "dvc.yaml", root)
        raw = yaml.safe_load((REPOSITORY / "ml" / "presets" / "smoke.yaml").read_text())
        (root / "params.yaml").write_text(yaml.safe_dump(raw | {"tracking": {"uri": uri, "experiment": "town"}}))
        return Workspace(root)

    return make


def work(ws: Workspace) -> str:
    with tracking.start(ws, load(ws.params_file), STAGE) as run:
        run.metrics({"loss": 1.0}, 0)
        run.table("rows", [{"row": 1}])
        ws.stage(STAGE).mkdir(parents=True)
        (ws.stage(STAGE) / "model.safetensors").write_text("weights")
    return str(run.id)


def assert_all_there(ws: Workspace, run_id: str) -> None:
    client = sending.Place.open(ws, load(ws.params_file)).client
    assert client.get_run(run_id).data.metrics == {"loss": 1.0}
    assert Path(client.download_artifacts(run_id, "tables/rows.json")).read_text()
    assert store.run_id(ws, load(ws.params_file), STAGE) == run_id


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="no sqlite3 here (apt-get install sqlite3)")
def test_the_embedded_store(workspace, tmp_path):
    ws, backup = workspace("here", None), tmp_path / "backup"
    run_id = work(ws)
    backup.mkdir()
    database = ws.root / "mlflow" / "mlflow.db"
    subprocess.run(["sqlite3", str(database), f".backup {backup}/mlflow.db"], check=True)
    shutil.copytree(ws.root / "mlflow" / "artifacts", backup / "artifacts")
    shutil.rmtree(ws.root / "mlflow")
    there = workspace("there", None)  # another folder
    shutil.copytree(backup, there.root / "mlflow")
    shutil.copytree(ws.data, there.data)
    assert_all_there(there, run_id)


@pytest.mark.slow
def test_the_server(workspace, tmp_path, postgres):
    postgres.create("before")
    postgres.create("after")
    with servers.s3("before", "after") as s3:
        with servers.mlflow(postgres.url("before"), s3, "before", tmp_path) as server:
            ws = workspace("here", server.address)
            run_id = work(ws)
        dump(postgres, "before", tmp_path / "mlflow.dump")
        copy_bucket(s3, "before", "after")
        restore(postgres, "after", tmp_path / "mlflow.dump")
        postgres.query("DROP DATABASE before")
        with servers.mlflow(postgres.url("after"), s3, "after", tmp_path) as server:
            raw = yaml.safe_load(ws.params_file.read_text())
            raw["tracking"]["uri"] = server.address
            ws.params_file.write_text(yaml.safe_dump(raw))
            assert_all_there(ws, run_id)


def dump(postgres: servers.Postgres, database: str, file: Path) -> None:
    command = ["pg_dump", "-Fc", "-f", str(file)]
    subprocess.run(command, env=os.environ | postgres.settings(database), check=True)


def restore(postgres: servers.Postgres, database: str, file: Path) -> None:
    command = ["pg_restore", "--no-owner", "-d", database, str(file)]
    subprocess.run(command, env=os.environ | postgres.settings(database), check=True)


def copy_bucket(address: str, source: str, target: str) -> None:
    """As `aws s3 sync` does."""
    secret = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **secret)
    for entry in client.list_objects_v2(Bucket=source)["Contents"]:
        client.copy_object(Bucket=target, Key=entry["Key"], CopySource={"Bucket": source, "Key": entry["Key"]})
