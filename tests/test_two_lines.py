"""Two workspaces run their whole lines at once on real servers, all of which are restarted meanwhile.

Dagster and MLflow on PostgreSQL, MLflow's artifacts and DVC's remote in S3: nothing is lost, nothing is there twice.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ml.pipeline import SHARDED, WHOLE
from ml.workspace.settings import load
from tests import servers
from tests.conftest import BIN, ROOT, Checkout
from tests.faults.disturbed import tracked

STAGES = {*SHARDED, *WHOLE}
TRAINED = 4
TRACKED = TRAINED + 3  # stages that have a run in MLflow
SECONDS = 3600.0
REGISTERED = "data/released_model/registered.json"  # tells the version, of which two lines have one each


@pytest.fixture
def s3() -> Iterator[str]:
    with servers.s3("mlflow", "data") as address:
        yield address


@pytest.fixture
def server(postgres, s3, tmp_path) -> Iterator[servers.Mlflow]:
    postgres.create("lines")
    with servers.mlflow(postgres.url("lines"), s3, "mlflow", tmp_path) as found:
        yield found


def outfit(checkout: Checkout, name: str, rate: float, postgres, s3: str, server: servers.Mlflow) -> dict[str, str]:
    """Put a checkout on the servers; the environment that its commands need."""
    raw = yaml.safe_load((checkout.root / "params.yaml").read_text())
    raw["tracking"] = {"uri": server.address, "experiment": "lines"}
    raw["mask_region_alignment"]["lr"] = rate
    (checkout.root / "params.yaml").write_text(yaml.safe_dump(raw))
    (checkout.root / ".dagster" / "dagster.yaml").write_bytes((ROOT / "deploy/servers/dagster.yaml").read_bytes())
    checkout.run("dvc", "remote", "add", "-d", "s3", f"s3://data/{name}")
    checkout.run("dvc", "remote", "modify", "s3", "endpointurl", s3)
    postgres.create(f"dagster_{name}")
    return postgres.settings(f"dagster_{name}") | servers.KEYS


def begin(checkout: Checkout, log: Path) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(checkout.root), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with log.open("w") as said:
        return subprocess.Popen(
            ["arrcoc", "run", "--json"], cwd=checkout.root, env=env, stdout=subprocess.PIPE, stderr=said, text=True
        )


def registered(checkout: Checkout) -> dict[str, str]:
    return dict(json.loads((checkout.root / REGISTERED).read_text()))


def once_begun(checkout: Checkout, stage: str, run: subprocess.Popen[str], do: Callable[[], None]) -> None:
    """Do something as soon as a stage has begun to tell of itself."""
    deadline = time.monotonic() + SECONDS
    while not list((checkout.root / "data" / ".keys" / "journal").glob(f"*_{stage}_*/events.jsonl")):
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    do()


@pytest.mark.slow
def test_two_lines_at_once_on_servers_that_are_restarted(
    finished, make_checkout, postgres, s3, server, tmp_path, monkeypatch
):
    lines = {name: make_checkout("smoke", name) for name in ("one", "two")}
    rates = {"one": load(finished.root / "params.yaml").mask_region_alignment.lr, "two": 2e-3}
    settings = {name: outfit(checkout, name, rates[name], postgres, s3, server) for name, checkout in lines.items()}
    runs = {}
    for name, checkout in lines.items():
        with monkeypatch.context() as patch:
            for variable, value in settings[name].items():
                patch.setenv(variable, value)
            runs[name] = begin(checkout, tmp_path / f"{name}.log")

    def restart_mlflow() -> None:
        server.stop()
        time.sleep(5)
        server.start()

    once_begun(lines["one"], "mask_region_alignment", runs["one"], postgres.restart)
    once_begun(lines["one"], "text_region_grounding", runs["one"], restart_mlflow)
    once_begun(lines["two"], "relevance_learning", runs["two"], postgres.restart)
    for name, run in runs.items():
        outcome, said = json.loads(run.communicate(timeout=SECONDS)[0]), (tmp_path / f"{name}.log").read_text()
        assert (set(outcome["materialized"]), outcome["failed"]) == (STAGES, []), said[-6000:]
        assert "Traceback" not in said and servers.PASSWORD not in said
    made, undisturbed = tracked(lines["one"].root), tracked(finished.root)  # this one on the embedded stores
    assert made.pop(REGISTERED) and undisturbed.pop(REGISTERED)
    assert made == undisturbed
    assert registered(lines["one"])["lineage"] == registered(finished)["lineage"]
    assert {registered(checkout)["version"] for checkout in lines.values()} == {"1", "2"}

    for name, checkout in lines.items():
        for variable, value in settings[name].items():
            monkeypatch.setenv(variable, value)
        assert checkout.json("arrcoc", "sync", "--json")["refused"] == []
        assert checkout.json("arrcoc", "run", "--json", check=False)["materialized"] == []
        assert_dagster_knows(postgres, f"dagster_{name}")
        checkout.run("dvc", "push", "-q")
        assert json.loads(checkout.run("dvc", "status", "-c", "--json").stdout) == {}
    assert_mlflow_knows(postgres, "lines", {str(checkout.root) for checkout in lines.values()})


def assert_dagster_knows(postgres, database: str) -> None:
    """Every stage once, each piece of it; and no run that failed or is still going on."""
    assert postgres.query("SELECT DISTINCT status FROM runs", database) == [["SUCCESS"]]
    made = "SELECT asset_key FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
    keys = {
        json.loads(row[0])[0] for row in postgres.query(f"SELECT DISTINCT asset_key FROM ({made}) AS made", database)
    }
    assert keys == STAGES
    steps = "SELECT step_key, count(*) FROM event_logs WHERE dagster_event_type = 'STEP_SUCCESS' GROUP BY step_key"
    done = {name: int(count) for name, count in postgres.query(steps, database)}  # checks of stages among them
    assert done.keys() >= STAGES and set(done.values()) == {1}


def assert_mlflow_knows(postgres, database: str, workspaces: set[str]) -> None:
    """A finished run a tracked stage and workspace, each step once; a version a workspace, the alias on one."""
    of = "SELECT run_uuid, value FROM tags WHERE key = 'workspace'"
    counts = (
        f"SELECT value, count(*), count(DISTINCT status) FROM runs JOIN ({of}) AS o USING (run_uuid) GROUP BY value"
    )
    assert {tuple(row) for row in postgres.query(counts, database)} == {(w, str(TRACKED), "1") for w in workspaces}
    assert postgres.query("SELECT DISTINCT status FROM runs", database) == [["FINISHED"]]
    loss = "SELECT run_uuid, count(*), count(DISTINCT step) FROM metrics WHERE key = 'train/loss' GROUP BY run_uuid"
    told = postgres.query(loss, database)
    assert len(told) == TRAINED * len(workspaces) and {tuple(row[1:]) for row in told} == {("2", "2")}
    versions = [int(row[0]) for row in postgres.query("SELECT version FROM model_versions ORDER BY version", database)]
    assert versions == [1, 2]
    ((alias, version),) = postgres.query("SELECT alias, version FROM registered_model_aliases", database)
    assert alias == "champion" and int(version) in versions  # of whichever moved it last
