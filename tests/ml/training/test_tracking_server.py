"""A real MLflow server: what its runs say that they were made with, and what a run does when it is killed."""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ml.training.launch import launch
from ml.training.launchers.here import command
from ml.training.launchers.processes import PACKAGE_ROOT, environment, free_port
from ml.training.tracking import journal, sending, store, tracking
from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration.pages.servers import mlflow_command, stop


@contextmanager
def served(ws: Workspace, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a workspace's embedded store."""
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (ws.root / "mlflow.log").open("a") as log:
        arguments = mlflow_command(ws, load(ws.params_file), "127.0.0.1", port)
        process = subprocess.Popen(arguments, cwd=ws.root, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            ask(f"http://127.0.0.1:{port}", "experiments/search", max_results=1)
            yield process
        finally:
            stop([process])


@pytest.fixture
def server(workspace: Callable[..., Workspace]) -> Iterator[str]:
    port = free_port()
    with served(workspace(), port):
        yield f"http://127.0.0.1:{port}"


def ask(server: str, path: str, **body: Any) -> Any:
    request = urllib.request.Request(
        f"{server}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    for _ in range(300):
        try:
            return json.loads(urllib.request.urlopen(request, timeout=60).read())
        except urllib.error.HTTPError:
            raise
        except OSError:  # not up yet
            time.sleep(0.3)
    raise AssertionError(f"{server} does not answer")


@pytest.mark.slow
def test_the_servers_two_score_runs_differ_in_one_knob(server: str, workspace: Callable[..., Workspace]) -> None:
    where = {"uri": server, "experiment": "town"}
    for threshold in (0.88, 0.9):
        ws = workspace(tracking=where, filter={"predicted_iou": threshold})
        for stage in ("multimodal_finetuning", "benchmark_scores"):
            ws.stage(stage).mkdir(parents=True, exist_ok=True)
            with tracking.start(ws, load(ws.params_file), stage):
                (ws.stage(stage) / "made").write_text(f"with {threshold}")
    experiment = store.connect(ws, load(ws.params_file)).get_experiment_by_name("town").experiment_id
    runs = ask(server, "runs/search", experiment_ids=[experiment])["runs"]
    tags = {run["info"]["run_id"]: {tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs}
    scores = [run for run in runs if tags[run["info"]["run_id"]]["stage"] == "benchmark_scores"]
    second, first = ({item["key"]: item["value"] for item in run["data"]["params"]} for run in scores)
    assert dict(second.items() - first.items()) == {"filtered_masks.filter.predicted_iou": "0.9"}
    assert second.keys() == first.keys()
    names = [run["info"]["run_name"] for run in scores]
    assert names == ["benchmark_scores, filter.predicted_iou 0.88 to 0.9", "benchmark_scores"]
    for run in scores:
        above = tags[run["info"]["run_id"]]["upstream.multimodal_finetuning"]
        assert tags[above]["stage"] == "multimodal_finetuning"


@pytest.mark.slow
def test_a_server_killed_in_the_middle_costs_no_training_and_no_metric(
    workspace: Callable[..., Workspace], tmp_path: Path
) -> None:
    stage, home, port = "text_region_grounding", workspace(), free_port()
    ws = workspace(
        tracking={"uri": f"http://127.0.0.1:{port}", "experiment": "town"}, text_region_grounding={"steps": 40}
    )
    params = load(ws.params_file)
    with served(home, port) as process, (tmp_path / "train.log").open("w+") as log:
        trained = subprocess.Popen(
            command(stage, ws, params),
            env={**os.environ, **environment(params)},
            cwd=PACKAGE_ROOT,
            stderr=log,
            stdout=log,
        )
        while f"{stage} 16/40" not in (tmp_path / "train.log").read_text():
            assert trained.poll() is None
            time.sleep(0.02)
        stop([process])
        begun = time.monotonic()
        assert trained.wait(180) == 0
        assert time.monotonic() - begun < 90
    said = (tmp_path / "train.log").read_text()
    assert len([line for line in said.splitlines() if "1 run is pending" in line and "arrcoc sync" in line]) == 1
    assert "Traceback" not in said and "Retrying" not in said
    assert json.loads((ws.stage(stage) / "best.json").read_text())["steps"] == 40
    with served(home, port):
        (sent,) = sending.send_pending(sending.Place.open(ws, params))
        client = store.connect(ws, params)
        steps = [metric.step for metric in client.get_metric_history(sent.run_id, "train/loss")]
        assert sent.refused is None and steps == list(range(1, 41))
        assert client.get_run(sent.run_id).info.status == "FINISHED"
        assert store.run_id(ws, params, stage) == sent.run_id
    assert journal.journals(ws) == []


def test_a_training_whose_server_is_away_from_the_start_is_kept(
    workspace: Callable[..., Workspace], capfd: pytest.CaptureFixture[str]
) -> None:
    ws = workspace(tracking={"uri": f"http://127.0.0.1:{free_port()}", "experiment": "town"})
    report = launch("text_region_grounding", ws, load(ws.params_file))
    said = capfd.readouterr().err
    assert report.numbers["steps"] == 4 and "Traceback" not in said
    assert len([line for line in said.splitlines() if "arrcoc sync" in line]) == 1
    assert len(journal.pending(ws)) == 1
