"""A real MLflow server: what two runs of a stage say that they were made with, asked for as its page asks."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml.training.launch import free_port
from ml.training.tracking import tracking
from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration.servers import mlflow_command, stop


@pytest.fixture
def server(workspace: Callable[..., Workspace], tmp_path: Path) -> Iterator[str]:
    ws, port = workspace(), free_port()
    with (tmp_path / "mlflow.log").open("w") as log:
        command = mlflow_command(ws, load(ws.params_file), "127.0.0.1", int(port))
        process = subprocess.Popen(command, cwd=ws.root, stdout=log, stderr=log, start_new_session=True)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            stop([process])


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
    ask(server, "experiments/search", max_results=1)
    store = {"uri": server, "experiment": "town"}
    for threshold in (0.88, 0.9):
        ws = workspace(tracking=store, filter={"predicted_iou": threshold})
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
    for run in scores:
        parent = tags[run["info"]["run_id"]]["mlflow.parentRunId"]
        assert tags[parent]["stage"] == "multimodal_finetuning"
