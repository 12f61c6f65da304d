"""The launcher: real processes, real failures."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ml.errors import UserError
from ml.training.launch import failure, launch
from ml.training.launchers.here import command
from ml.training.launchers.processes import PACKAGE_ROOT, environment
from ml.training.main import ORDER
from ml.training.tracking import journal, store
from ml.workspace import Workspace
from ml.workspace.settings import load

Make = Callable[..., Workspace]


def test_a_failure_tells_what_a_process_said() -> None:
    tail = ["warning", "error: params.yaml: seed: missing", "more", "exits with return code = 2"]
    assert failure("x", 2, tail) == "params.yaml: seed: missing"
    unexplained = failure("x", -9, [f"line {i}" for i in range(30)])
    assert unexplained.startswith("x: a training process ended with code -9")
    assert unexplained.endswith("line 29") and "line 5" not in unexplained


@pytest.mark.slow
def test_a_failing_stage_raises_what_its_process_said(workspace: Make) -> None:
    ws = workspace()
    (ws.stage("training_set") / "group_000.json").write_text("{")
    with pytest.raises(UserError, match=r"group_000\.json: not readable as JSON"):
        launch("mask_region_alignment", ws, load(ws.params_file))


def test_launched_is_the_same_as_in_this_process(workspace: Make, train: Callable[..., Any]) -> None:
    ws, here, stage = workspace(), workspace(), "text_region_grounding"
    report = launch(stage, ws, load(ws.params_file))
    train(here, stage)
    for name in ("best.json", "train.json", "validation.json"):
        assert (ws.stage(stage) / name).read_text() == (here.stage(stage) / name).read_text()
    assert report.numbers["steps"] == 4 and 0 <= report.numbers["val/relevance_accuracy"] <= 1
    assert [row["step"] for row in report.tables["validation"]] == [2, 4]


@pytest.mark.slow
@pytest.mark.parametrize("training", [{}, {"zero_stage": 3, "precision": "bf16"}], ids=["zero1", "zero3"])
def test_two_processes(workspace: Make, training: dict[str, Any]) -> None:
    """Two processes of batch 2 see what one of batch 4 sees: the same stream, dealt out."""
    two = workspace(training={"processes": 2, "global_batch": 4, "batch_size": 2, **training})
    one = workspace(training={"global_batch": 4, "batch_size": 4, **training})
    curves = []
    for ws in (two, one):
        for stage in ORDER:
            launch(stage, ws, load(ws.params_file))
        curves.append(json.loads((ws.stage(ORDER[-1]) / "train.json").read_text()))
    losses = [[entry["loss"] for entry in curve] for curve in curves]
    # Means over two halves are not quite the mean over the whole where their counts differ.
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


@pytest.mark.slow
def test_killed_and_resumed(workspace: Make) -> None:
    """SIGKILL to all processes after the first checkpoint; the second launch ends with the same bytes."""
    stage = "text_region_grounding"
    whole, killed = (workspace(**{stage: {"steps": 60}}) for _ in range(2))
    params = load(whole.params_file)
    launch(stage, whole, params)
    process = subprocess.Popen(
        command(stage, killed, params),
        env={**os.environ, **environment(params)},
        cwd=PACKAGE_ROOT,
        start_new_session=True,
    )
    while not (killed.resume / stage / "latest").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed.stage(stage) / "best.json").exists()
    launch(stage, killed, params)
    for file in whole.stage(stage).iterdir():
        assert file.read_bytes() == (killed.stage(stage) / file.name).read_bytes()


def started(ws: Workspace, stage: str, step: int) -> subprocess.Popen[bytes]:
    """A launch of the stage in a process of its own, once that step is told in its journal."""
    code = "import sys; from ml.training.main import *; from ml.training.launch import launch\n"
    code += f"ws = Workspace(Path({str(ws.root)!r})); launch({stage!r}, ws, load(ws.params_file))"
    env = os.environ | {"PYTHONPATH": str(PACKAGE_ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ws.root, env=env, start_new_session=True)
    while not any(f", {step}]" in file.read_text() for file in (ws.data / ".keys").glob("journal/*/events.jsonl")):
        assert process.poll() is None
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False], ids=["Ctrl-C", "the launcher alone"])
def test_a_terminated_stage_is_killed_at_once_and_goes_on_in_the_same_run(workspace: Make, whole_group: bool) -> None:
    stage, steps = "text_region_grounding", 80
    ws = workspace(**{stage: {"steps": steps}}, training={"validations": 4})
    params = load(ws.params_file)
    process = started(ws, stage, steps // 4 + 5)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    process.wait(60)
    client = store.connect(ws, params)
    (run,) = client.search_runs([store.experiment(client, ws, params)])
    last = max(metric.step for metric in client.get_metric_history(run.info.run_id, "train/loss"))
    assert run.info.status == "KILLED" and journal.journals(ws) == [] and "error" not in run.data.tags
    assert run.data.tags["stopped"] == f"terminated at step {last}; the next run goes on at {last}"
    assert 0 < last < steps
    assert run.data.tags["mlflow.note.content"] == run.data.tags["stopped"]
    launch(stage, ws, params)
    (whole,) = client.search_runs([store.experiment(client, ws, params)])
    assert (whole.info.run_id, whole.info.status) == (run.info.run_id, "FINISHED")
    assert not {"stopped", "mlflow.note.content"} & whole.data.tags.keys()
    for name in ("train/loss", "train/images_per_second"):
        told = [metric.step for metric in client.get_metric_history(whole.info.run_id, name)]
        assert told == list(range(1, steps + 1))
    assert store.run_id(ws, params, stage) == run.info.run_id


@pytest.mark.slow
def test_dagster_hears_of_it_through_pipes(workspace: Make) -> None:
    import dagster as dg

    ws = workspace()
    params = load(ws.params_file)
    heard: list[Any] = []

    @dg.asset
    def relevance_learning(context: dg.AssetExecutionContext) -> Iterator[Any]:
        injector, reader = dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader()
        with dg.open_pipes_session(context, injector, reader) as session:
            launch("relevance_learning", ws, params, env=session.get_bootstrap_env_vars())
        heard.extend(session.get_custom_messages())
        yield from session.get_results()

    assert dg.materialize([relevance_learning]).success
    (message,) = heard
    assert message["mlflow_run_id"] == store.run_id(ws, params, "relevance_learning")
    assert message["best"]["by"] == "relevance_accuracy"
