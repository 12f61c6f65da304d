"""One MLflow server, on PostgreSQL with artifacts in S3, for two workspaces: nothing lost, nothing there twice."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml.params import Params
from ml.training.tracking import courier, journal, sending, store, tracking
from ml.training.tracking.journal import Journal
from ml.workspace import Workspace
from ml.workspace.settings import load
from tests.servers import losing

Make = Callable[..., Workspace]
STAGE = "mask_region_alignment"
STEPS = 20


def work(ws: Workspace, params: Params, text: str, in_the_middle: Callable[[], object] = lambda: None) -> None:
    """A run that logs steps and files as a stage of training does."""
    with tracking.start(ws, params, STAGE) as run:
        for step in range(STEPS):
            run.metrics({"loss": float(step)}, step)
            if step == STEPS // 2:
                in_the_middle()
        run.table("validation", [{"text": text}])
        ws.stage(STAGE).mkdir(parents=True, exist_ok=True)
        (ws.stage(STAGE) / "model.safetensors").write_text(text)


def runs_of(ws: Workspace) -> list[Any]:
    client = store.connect(ws, load(ws.params_file))
    found = client.get_experiment_by_name(load(ws.params_file).tracking.experiment)
    return list(client.search_runs([found.experiment_id]))


def assert_whole(ws: Workspace, run: Any, text: str) -> None:
    client = store.connect(ws, load(ws.params_file))
    assert run.info.status == "FINISHED" and journal.ERROR not in run.data.tags
    told = client.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in told] == [(step, float(step)) for step in range(STEPS)]
    path = client.download_artifacts(run.info.run_id, "tables/validation.json")
    assert json.loads(Path(path).read_text())["data"] == [[text]]


def test_two_workspaces_at_once_in_an_experiment_that_neither_has_made(workspace: Make, mlflow_server) -> None:
    where = {"uri": mlflow_server.address, "experiment": "two"}
    spaces = {text: workspace(tracking=where) for text in ("one", "two")}
    threads = [threading.Thread(target=work, args=(ws, load(ws.params_file), text)) for text, ws in spaces.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text, ws in spaces.items():
        assert journal.journals(ws) == []
        (ours,) = [run for run in runs_of(ws) if run.data.tags[store.WORKSPACE] == str(ws.root)]
        assert_whole(ws, ours, text)
        assert store.run_id(ws, load(ws.params_file), STAGE) == ours.info.run_id
    assert len(runs_of(ws)) == 2
    assert ours.info.artifact_uri.startswith("mlflow-artifacts:/")  # of the server's address nothing is noted


def test_a_database_restarted_in_the_middle_costs_nothing(
    workspace: Make, mlflow_server, postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "FLUSH_SECONDS", 0.1)
    ws = workspace(tracking={"uri": mlflow_server.address, "experiment": "restarted"})
    work(ws, load(ws.params_file), "one", postgres.restart)
    place = sending.Place.open(ws, load(ws.params_file))
    sending.send_pending(place)  # `arrcoc sync`, where the last words came in the middle of it
    (run,) = runs_of(ws)
    assert_whole(ws, run, "one")
    assert journal.journals(ws) == []


def test_a_run_of_another_workspace_is_not_buried(workspace: Make, mlflow_server) -> None:
    """Its process is gone and its journal not yet sent: what its own workspace will say is not for others to say."""
    where = {"uri": mlflow_server.address, "experiment": "gone"}
    here, there = workspace(tracking=where), workspace(tracking=where)
    kept = Journal.begin(there, STAGE, "gone")
    kept.metrics({"loss": 1.0}, 0)
    place = sending.Place.open(there, load(there.params_file))
    sending.send(place, kept)
    gone = kept.run | {"process": f"{journal.process().rpartition(':')[0]}:1.00"}
    (kept.folder / "run.json").write_text(json.dumps(gone))
    run_id = kept.sent["run_id"]
    place.client.set_tag(run_id, "process", gone["process"])
    store.bury(here, load(here.params_file))
    assert place.client.get_run(run_id).info.status == "RUNNING"
    kept.end("FINISHED", out="none")
    sending.send_pending(place)
    run = place.client.get_run(run_id)
    assert run.info.status == "FINISHED" and journal.ERROR not in run.data.tags


@pytest.mark.parametrize("path", ["runs/create", "runs/log-batch", "experiments/create"])
def test_an_answer_that_is_lost_makes_nothing_twice(
    workspace: Make, mlflow_server, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(courier, "FLUSH_SECONDS", 0.1)
    monkeypatch.setattr(courier, "RETRY_SECONDS", 0.1)
    with losing(mlflow_server.address, path) as address:
        ws = workspace(tracking={"uri": address, "experiment": path.replace("/", "_")})
        work(ws, load(ws.params_file), "one")
        sending.send_pending(sending.Place.open(ws, load(ws.params_file)))
        (run,) = runs_of(ws)
        assert_whole(ws, run, "one")
