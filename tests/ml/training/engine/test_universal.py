"""A checkpoint of N processes goes on with M."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ml.training.engine.checkpoints import Checkpoints
from ml.training.engine.engine import World
from ml.training.launch import launch
from ml.training.launchers.here import command
from ml.training.launchers.processes import PACKAGE_ROOT, environment
from ml.workspace import Workspace
from ml.workspace.settings import load

STAGE = "text_region_grounding"
Make = Callable[..., Workspace]


def params_of(processes: int, **training: Any) -> dict[str, Any]:
    return {"training": {"global_batch": 8, "batch_size": 2, "processes": processes, **training}, STAGE: {"steps": 30}}


def train_to_the_first_point(ws: Workspace) -> None:
    """Launch the stage, and kill all of its processes once a checkpoint is there."""
    params = load(ws.params_file)
    process = subprocess.Popen(
        command(STAGE, ws, params), env=os.environ | environment(params), cwd=PACKAGE_ROOT, start_new_session=True
    )
    while not (ws.resume / STAGE / "latest").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def losses(ws: Workspace) -> list[float]:
    return [row["loss"] for row in json.loads((ws.stage(STAGE) / "train.json").read_text())]


def goes_on(
    workspace: Make, processes: int, then: int, dropout: float = 0.0, within: float = 1e-4, **training: Any
) -> None:
    """A run of `processes` has the losses of one that after its first checkpoint goes on with `then`."""
    whole, moved = (workspace(**params_of(processes, **training)) for _ in range(2))
    for ws in (whole, moved):  # dropout is that of the model that the stage starts from
        config = ws.stage("mask_region_alignment") / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"dropout": dropout}))
    launch(STAGE, whole, load(whole.params_file))
    train_to_the_first_point(moved)
    other = workspace(**params_of(then, **training))
    moved.params_file.write_text(other.params_file.read_text())
    launch(STAGE, moved, load(moved.params_file))
    assert losses(moved) == pytest.approx(losses(whole), abs=within)


def test_one_process_goes_on_where_two_were(workspace: Make, capfd: pytest.CaptureFixture[str]) -> None:
    goes_on(workspace, 2, 1)
    assert f"{STAGE} goes on from step 15 of 30" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "then"), [(2, 1), (1, 2), (2, 4)])
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_any_number_goes_on(workspace: Make, zero_stage: int, processes: int, then: int) -> None:
    goes_on(workspace, processes, then, zero_stage=zero_stage)


@pytest.mark.slow
def test_dropout_goes_on_too(workspace: Make) -> None:
    goes_on(workspace, 2, 1, dropout=0.1, zero_stage=3)


@pytest.mark.slow
def test_bf16_goes_on_as_near_as_two_processes_and_one_are_to_each_other(workspace: Make) -> None:
    two, one = (workspace(**params_of(number, zero_stage=3, precision="bf16")) for number in (2, 1))
    for ws in (two, one):
        launch(STAGE, ws, load(ws.params_file))
    apart = max(abs(a - b) for a, b in zip(losses(two), losses(one), strict=True))
    assert 0 < apart < 5e-3  # gradients of eight bits, summed in another order from the first step on
    goes_on(workspace, 2, 1, zero_stage=3, precision="bf16", within=2 * apart)


def test_whose_point_it_is_shows_in_its_files(tmp_path: Any) -> None:
    checkpoints = Checkpoints(tmp_path, {"params": 1}, World(0, 1, torch.device("cpu")))
    assert not checkpoints.foreign
    (tmp_path / "latest").write_text("step_00000003")
    folder = tmp_path / "step_00000003"
    folder.mkdir()
    assert not checkpoints.foreign  # without ZeRO there are no parts
    (folder / "zero_pp_rank_0_mp_rank_00_optim_states.pt").touch()
    assert not checkpoints.foreign
    (folder / "zero_pp_rank_1_mp_rank_00_optim_states.pt").touch()
    assert checkpoints.foreign
