"""A workspace that is copied leaves its original alone, and one that is moved finds all that it had."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from ml.training.launchers.processes import free_port
from ml.training.tracking import store
from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration.pages.servers import mlflow_command, stop
from tests.conftest import Checkout
from tests.servers import await_answer

KEPT = ("data", "mlflow", ".dagster", ".dvc")
LOADED = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
versions = [version.version for version in client.search_model_versions("name='arrcoc'")]
names = [mlflow.pyfunc.load_model(f"models:/arrcoc/{version}").metadata.signature is not None for version in versions]
print(json.dumps(dict(zip(versions, names))))
"""


def digest(root: Path) -> dict[str, str]:
    """The md5 of every file that a workspace keeps."""
    files = [path for folder in KEPT for path in (root / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def telling(root: Path, words: str) -> list[str]:
    """The files that a workspace keeps in which these words are; a registered model's tells where it was made."""
    files = [path for folder in KEPT for path in (root / folder).rglob("*") if path.is_file()]
    found = [path for path in files if words.encode() in path.read_bytes()]
    return [str(path.relative_to(root)) for path in found if path.name != "MLmodel"]


@pytest.mark.slow
def test_a_copy_writes_nothing_into_its_original_and_lives_on_without_it(finished, tmp_path):
    original, copy, moved = (Checkout(tmp_path / name) for name in ("original", "copy", "moved"))
    shutil.copytree(finished.root, original.root)
    original.run("arrcoc", "trace", "model")  # from now on its store is its own
    before = digest(original.root)

    shutil.copytree(original.root, copy.root)
    text = (copy.root / "params.yaml").read_text()
    (copy.root / "params.yaml").write_text(text.replace("max_drop: 100.0", "max_drop: 99.0"))
    assert copy.json("arrcoc", "run", "--json", check=False)["materialized"] == ["released_model"]
    assert digest(original.root) == before
    with closing(sqlite3.connect(copy.root / "mlflow" / "mlflow.db")) as db:
        db.execute("VACUUM")  # what was overwritten is in its pages yet
    assert telling(copy.root, str(original.root)) == []

    copy.root.rename(moved.root)
    shutil.rmtree(original.root)
    states = moved.json("arrcoc", "status", "--json")["stages"]
    assert {stage["state"] for stage in states} == {"fresh"}
    assert moved.json("arrcoc", "run", "--json", check=False)["materialized"] == []
    assert json.loads(moved.run("dvc", "status", "--json").stdout) == {}
    assert "run" in moved.run("arrcoc", "trace", "model").stdout
    uri = f"sqlite:///{moved.root}/mlflow/mlflow.db"
    found = moved.run(sys.executable, "-c", LOADED, uri).stdout.strip().splitlines()[-1]
    assert json.loads(found) == {"1": True, "2": True}
    assert_pages_show(Workspace(moved.root))


def assert_pages_show(ws: Workspace) -> None:
    """MLflow's page, as `arrcoc ui` starts it, hands out the artifacts of every run."""
    params, port = load(ws.params_file), free_port()
    client = store.connect(ws, params)
    runs = client.search_runs([client.get_experiment_by_name(params.tracking.experiment).experiment_id])
    assert len(runs) >= 7
    command = mlflow_command(ws, params, "127.0.0.1", port)
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(command, cwd=ws.root, env=env, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        await_answer(f"http://127.0.0.1:{port}/health", server)
        for run in runs:
            address = f"http://127.0.0.1:{port}/get-artifact?path=lineage.json&run_uuid={run.info.run_id}"
            assert json.loads(urllib.request.urlopen(address, timeout=60).read())[run.data.tags["stage"]]["out"]
    finally:
        stop([server])
