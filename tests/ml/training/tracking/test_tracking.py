"""Runs as they stand in a real store."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml.errors import UserError
from ml.params import Params
from ml.training.tracking import courier, provenance, store, tracking
from ml.workspace import Workspace, lineage, stages
from ml.workspace.atomic import write_json
from ml.workspace.settings import load

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000a49444154789c6360000002000154a24f5f"
    "0000000049454e44ae426082"
)
Make = Callable[..., Workspace]


def stored(ws: Workspace, run_id: str) -> Any:
    return store.connect(ws, load(ws.params_file)).get_run(run_id)


@pytest.fixture
def opened(workspace: Make) -> tuple[Workspace, Params]:
    ws = workspace()
    return ws, load(ws.params_file)


def write_output(ws: Workspace, stage: str, text: str = "weights") -> None:
    ws.stage(stage).mkdir(parents=True, exist_ok=True)
    (ws.stage(stage) / "model.safetensors").write_text(text)


def artifact(ws: Workspace, run_id: str, name: str) -> Path:
    return ws.root / "mlflow" / "artifacts" / run_id / "artifacts" / name


def test_a_finished_run(opened: tuple[Workspace, Params], monkeypatch: pytest.MonkeyPatch) -> None:
    ws, params = opened
    monkeypatch.setenv(provenance.DAGSTER_RUN, "abc")
    monkeypatch.setenv(store.MLFLOW_PAGE, "http://127.0.0.1:5000")
    with tracking.start(ws, params, "mask_region_alignment") as run:
        for step in range(5):
            run.metrics({"loss": 5.0 - step, "lr": 0.1}, step)
        run.table("validation", [{"step": 1, "loss": 2.0}, {"step": 2}])
        run.picture("sheet", PNG)
        run.dataset("sa_000000.labels", "0123456789abcdef0123456789abcdef")
        run.tag("best_step", "3")
        run_id = run.id
        write_output(ws, "mask_region_alignment")
    assert store.run_id(ws, params, "mask_region_alignment") == run_id
    found = stored(ws, run_id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"loss": 1.0, "lr": 0.1}
    assert found.data.tags["best_step"] == "3"
    made = json.loads(artifact(ws, run_id, "lineage.json").read_text())["mask_region_alignment"]
    assert made["out"] == found.data.tags["data_version"] == lineage.data_version(ws, ws.stage("mask_region_alignment"))
    assert made["deps"]["data/backbones"] == lineage.data_version(ws, ws.stage("backbones"))
    assert store.run_page(ws, params, "mask_region_alignment").endswith(f"/runs/{run_id}?workflowType=machine_learning")
    assert found.data.tags["dagster_run_id"] == "abc"
    assert found.data.params["mask_region_alignment.training.batch_size"] == "3"
    assert found.data.params["mask_region_alignment.temperature"] == "0.07"  # its own section: no name twice
    assert found.data.params["filtered_masks.filter.predicted_iou"] == "0.88"  # of a stage above
    assert not any(name.startswith("relevance_learning") for name in found.data.params)  # of a stage below
    assert [item.dataset.digest for item in found.inputs.dataset_inputs] == ["0123456789abcdef0123456789abcdef"]
    assert artifact(ws, run_id, "pictures/sheet.png").read_bytes() == PNG
    assert json.loads(artifact(ws, run_id, "tables/validation.json").read_text())["columns"] == ["step", "loss"]
    client = store.connect(ws, params)
    assert [metric.value for metric in client.get_metric_history(run_id, "loss")] == [5.0, 4.0, 3.0, 2.0, 1.0]


def test_the_data_card_is_kept_with_a_run_that_reads_the_training_set(opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    card = ws.stage("training_set") / "group_000.card.md"
    card.write_text("# Training set group_000\n")
    with tracking.start(ws, params, "mask_region_alignment") as run:
        trained = run.id
    with tracking.start(ws, params, "backbones") as run:
        other = run.id
    assert artifact(ws, trained, "training_set/group_000.card.md").read_bytes() == card.read_bytes()
    assert not artifact(ws, other, "training_set").exists()


def test_a_run_names_the_runs_it_builds_on(opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    ids = {}
    for stage in ("mask_region_alignment", "text_region_grounding"):
        with tracking.start(ws, params, stage) as run:
            ids[stage] = run.id
            write_output(ws, stage)
    tags = stored(ws, ids["text_region_grounding"]).data.tags
    assert tags["upstream.mask_region_alignment"] == ids["mask_region_alignment"]
    assert "mlflow.parentRunId" not in tags  # whose children the page folds away


def params_of(ws: Workspace, stage: str) -> dict[str, str]:
    """What a run of a stage, with the params as they are now, says that it is made with."""
    params = load(ws.params_file)
    with tracking.start(ws, params, stage) as run:
        write_output(ws, stage)
    return dict(stored(ws, run.id).data.params)


def edit(ws: Workspace, before: str, after: str) -> None:
    text = ws.params_file.read_text()
    assert before in text
    ws.params_file.write_text(text.replace(before, after))


def test_two_runs_differ_in_the_one_knob_that_moved(opened: tuple[Workspace, Params]) -> None:
    ws, _ = opened
    before = params_of(ws, "benchmark_scores")
    for key in ("seed", "filter.predicted_iou", "training.batch_size"):  # each is read by many stages
        assert len([name for name in before if name.endswith(f".{key}")]) == 1
    edit(ws, "predicted_iou: 0.88", "predicted_iou: 0.9")
    after = params_of(ws, "benchmark_scores")
    assert dict(after.items() - before.items()) == {"filtered_masks.filter.predicted_iou": "0.9"}
    assert after.keys() == before.keys()


def test_a_stage_above_that_was_not_made_anew_keeps_the_value_it_was_made_with(
    opened: tuple[Workspace, Params],
) -> None:
    ws, params = opened
    values = stages.stage(ws, "filtered_masks").param_values(params)
    write_json(lineage.record_file(ws, "filtered_masks"), {"deps": {}, "params": values, "out": "md5"})
    before = params_of(ws, "benchmark_scores")
    edit(ws, "predicted_iou: 0.88", "predicted_iou: 0.9")
    after = params_of(ws, "benchmark_scores")
    assert after["filtered_masks.filter.predicted_iou"] == "0.88"
    assert dict(after.items() - before.items()) == {"benchmark_scores.filter.predicted_iou": "0.9"}


def test_a_run_is_found_by_the_bytes_it_made(opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    ids = []
    for text in ("one", "two"):
        with tracking.start(ws, params, "mask_region_alignment") as run:
            ids.append(run.id)
            write_output(ws, "mask_region_alignment", text)
    assert store.run_id(ws, params, "mask_region_alignment") == ids[1]
    write_output(ws, "mask_region_alignment", "one")
    assert store.run_id(ws, params, "mask_region_alignment") == ids[0]
    write_output(ws, "mask_region_alignment", "neither")
    assert store.run_id(ws, params, "mask_region_alignment") is None


def test_a_killed_process_leaves_nothing_running(opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    code = (
        "import os, signal; from pathlib import Path; from ml.workspace.settings import load\n"
        "from ml.training.tracking import tracking\n"
        f"from ml.workspace import Workspace; ws = Workspace(Path({str(ws.root)!r}))\n"
        "with tracking.start(ws, load(ws.params_file), 'relevance_learning') as run:\n"
        "    print(run.id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    run_id = done.stdout.strip()
    assert stored(ws, run_id).info.status == "RUNNING"
    with tracking.start(ws, params, "mask_region_alignment") as alive:  # which buries it, and not itself
        assert stored(ws, alive.id).info.status == "RUNNING"
    assert stored(ws, run_id).info.status == "FAILED"
    assert "ended without a word" in stored(ws, run_id).data.tags["error"]


def test_the_last_lines_of_a_killed_process_are_kept(opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    client = store.connect(ws, params)
    dead = {"stage": "relevance_learning", "process": f"{socket.gethostname()}:{os.getpid()}:1.00"}
    run_id = client.create_run(store.experiment(client, ws, params), tags=dead).info.run_id
    store.bury(ws, params, ["step 3", "Killed"])
    assert stored(ws, run_id).data.tags["error"].startswith("step 3\nKilled\n")


def test_a_failed_run_says_why_and_is_not_found(opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    with pytest.raises(ZeroDivisionError), tracking.start(ws, params, "relevance_learning") as run:
        run_id = run.id
        _ = 1 / 0
    found = stored(ws, run_id)
    assert found.info.status == "FAILED"
    assert found.data.tags["error"].endswith("ZeroDivisionError: division by zero")
    assert store.run_id(ws, params, "relevance_learning") is None


def test_an_interrupted_run_is_marked(opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    with pytest.raises(KeyboardInterrupt), tracking.start(ws, params, "relevance_learning") as run:
        run_id = run.id
        raise KeyboardInterrupt
    found = stored(ws, run_id)
    assert found.info.status == "KILLED" and found.data.tags["stopped"] == "terminated; the next run starts over"


def test_the_machines_load_is_told_of_stages_that_train(
    opened: tuple[Workspace, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "SAMPLING_SECONDS", 0.1)
    monkeypatch.setattr(courier, "FLUSH_SECONDS", 0.1)
    ws, params = opened
    told = {}
    for stage in ("mask_region_alignment", "benchmark_scores"):
        with tracking.start(ws, params, stage) as run:
            run.metrics({"loss": 1.0})
            time.sleep(2)
        told[stage] = {name.partition("/")[0] for name in stored(ws, run.id).data.metrics}
    assert told == {"mask_region_alignment": {"loss", "system"}, "benchmark_scores": {"loss"}}


def test_a_run_that_goes_on_keeps_the_params_it_began_with(opened: tuple[Workspace, Params], tmp_path: Path) -> None:
    ws, params = opened
    with pytest.raises(ZeroDivisionError), tracking.start(ws, params, "relevance_learning", tmp_path) as run:
        run.metrics({"loss": 2.0, "lr": 0.1}, 1)
        run.metrics({"loss": 1.0}, 2)
        _ = 1 / 0
    edit(ws, "loader_workers: 0", "loader_workers: 1")
    with tracking.start(ws, load(ws.params_file), "relevance_learning", tmp_path) as again:
        again.metrics({"loss": 1.0, "lr": 0.1}, 2)
        again.metrics({"loss": 0.5, "lr": 0.1}, 3)
        write_output(ws, "relevance_learning")
    found = stored(ws, again.id)
    assert (again.id, found.info.status) == (run.id, "FINISHED") and "error" not in found.data.tags
    assert found.data.tags["went_on_with"] == "loader_workers 0 to 1"
    assert found.data.params["relevance_learning.training.loader_workers"] == "0"
    client = store.connect(ws, params)
    told = {name: [m.step for m in client.get_metric_history(run.id, name)] for name in ("loss", "lr")}
    assert told == {"loss": [1, 2, 3], "lr": [1, 2, 3]}


def test_git_and_dvc_lock_are_recorded(opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=ws.root, check=True)
    (ws.root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    ws.params_file.write_text(ws.params_file.read_text().replace("seed: 0", "seed: 7"))
    (ws.root / "added.py").write_text("LATER = 1\n")
    with tracking.start(ws, params, "mask_region_alignment") as run:
        tags = stored(ws, run.id).data.tags
    head = subprocess.run([*git, "rev-parse", "HEAD"], cwd=ws.root, capture_output=True, text=True, check=True)
    assert tags["git_commit"] == head.stdout.strip()
    diff = artifact(ws, run.id, "dirty.diff").read_text()
    assert tags["git_dirty"] == "true"
    assert "-seed: 0" in diff and "+seed: 7" in diff
    assert "+LATER = 1" in diff
    assert len(tags["dvc_lock_md5"]) == 32


def test_a_checkout_that_git_refuses_is_told_and_kept_with_the_run(
    opened: tuple[Workspace, Params], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ws, params = opened
    assert "git_warning" not in provenance.commit(ws)  # no checkout at all is no fault
    subprocess.run(["git", "init", "-q"], cwd=ws.root, check=True)
    assert provenance.commit(ws)["git_warning"] == "git: no commit yet; the run records no commit: git commit"
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with tracking.start(ws, params, "mask_region_alignment") as run:
        tags = stored(ws, run.id).data.tags
    wanted = f"the run records no commit: git config --global --add safe.directory {ws.root}"
    assert tags["git_warning"] == f"git: dubious ownership; {wanted}" and "git_commit" not in tags
    assert capsys.readouterr().err.splitlines() == [f"arrcoc: mask_region_alignment: {tags['git_warning']}"]


def test_a_diff_of_any_encoding_is_kept(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "news.py").write_bytes("# Köln\n".encode("latin-1"))
    assert "+# K\ufffdln" in provenance.diff(Workspace(tmp_path))


def test_a_broken_store_is_named(opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    (ws.root / "mlflow" / "mlflow.db").write_bytes(b"no database at all " * 500)
    with pytest.raises(UserError, match=r"mlflow\.db: not usable as MLflow's store .*move the file away"):
        store.run_id(ws, params, "mask_region_alignment")
    with pytest.raises(UserError, match="not usable"), tracking.start(ws, params, "mask_region_alignment") as run:
        run.metrics({"loss": 1.0})


def test_nothing_is_told_to_anyone(opened: tuple[Workspace, Params], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    store.run_id(*opened, "mask_region_alignment")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "true"


def test_the_store_is_where_the_params_say(tmp_path: Path, opened: tuple[Workspace, Params]) -> None:
    ws, params = opened
    assert store.tracking_uri(ws, params) == f"sqlite:///{ws.root}/mlflow/mlflow.db"
    other = params.model_copy(
        update={"tracking": params.tracking.model_copy(update={"uri": f"sqlite:///{tmp_path}/x"})}
    )
    assert store.tracking_uri(ws, other) == f"sqlite:///{tmp_path}/x"
