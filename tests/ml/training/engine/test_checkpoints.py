"""Stopped and resumed is the same as never stopped, bit for bit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ml.errors import UserError
from ml.training.engine.checkpoints import Checkpoints, locked
from ml.training.engine.engine import World
from ml.workspace import Workspace

STAGE = "text_region_grounding"
STEPS = {STAGE: {"steps": 12}}
Make = Callable[..., Workspace]
WORLD = World(0, 1, torch.device("cpu"))


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"precision": "bf16", "zero_stage": 2, "global_batch": 6, "schedule": "plateau"},
        {"zero_stage": 3, "loader_workers": 1},
        {"cached_features": False, "loader_workers": 2},
    ],
    ids=["plain", "bf16", "zero3", "pixels"],
)
def test_resumed_is_the_same_to_the_bit(
    workspace: Make,
    train: Callable[..., Any],
    interrupted: type[Exception],
    training: dict[str, Any],
    capfd: pytest.CaptureFixture[str],
) -> None:
    changes = {"training": training, "model": {"dropout": 0.1}, **STEPS}
    whole, broken = workspace(**changes), workspace(**changes)
    # The model's dropout is that of the config it starts from.
    for ws in (whole, broken):
        config = ws.stage("mask_region_alignment") / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "dropout": 0.1}))
    wanted = train(whole, STAGE)
    with pytest.raises(interrupted):
        train(broken, STAGE, stop_at=8)
    assert not (broken.stage(STAGE) / "best.json").exists()
    assert (broken.resume / STAGE / "latest").read_text() == "step_00000006"
    assert "goes on from" not in capfd.readouterr().err
    assert train(broken, STAGE) == wanted
    assert f"{STAGE} goes on from step 6 of 12" in capfd.readouterr().err
    for name in ("model.safetensors", "config.json", "best.json", "train.json", "validation.json"):
        assert (broken.stage(STAGE) / name).read_bytes() == (whole.stage(STAGE) / name).read_bytes()
    assert not (broken.resume / STAGE).exists()


def test_changed_params_start_anew(workspace: Make, train: Callable[..., Any], interrupted: type[Exception]) -> None:
    broken, other = workspace(**STEPS), workspace(**{STAGE: {"steps": 12, "lr": 0.002}})
    with pytest.raises(interrupted):
        train(broken, STAGE, stop_at=8)
    (broken.params_file).write_text(other.params_file.read_text())
    assert train(broken, STAGE) == train(other, STAGE)


def test_a_checkpoint_that_is_not_sound_is_refused(
    workspace: Make, train: Callable[..., Any], interrupted: type[Exception]
) -> None:
    ws = workspace(**STEPS)
    with pytest.raises(interrupted):
        train(ws, STAGE, stop_at=8)
    (path,) = (ws.resume / STAGE).glob("step_*/mp_rank_00_model_states.pt")
    state = torch.load(path, weights_only=False)
    state["module"]["model.logit_scale"][0] = float("inf")
    torch.save(state, path)
    with pytest.raises(UserError, match=r"model.logit_scale: 1 of 1 numbers are not finite .*; delete that folder to"):
        train(ws, STAGE)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(
        UserError, match=r"its checkpoint can't be read \(.*\); delete that folder to start anew"
    ) as error:
        train(ws, STAGE)
    assert len(str(error.value).replace(str(ws.root), "")) < 250
    path.unlink()
    with pytest.raises(UserError, match="its checkpoint can't be read"):
        train(ws, STAGE)


def origin(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "origin.json").read_text())


def test_a_checkpoint_of_something_else_is_dropped(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"params": 1}, WORLD)
    (tmp_path / "latest").write_text("step_00000001")
    Checkpoints(tmp_path, {"params": 1}, WORLD)
    assert (tmp_path / "latest").exists()
    Checkpoints(tmp_path, {"params": 2}, WORLD)
    assert not (tmp_path / "latest").exists()


def test_a_half_written_origin_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text('{"params": ')
    Checkpoints(tmp_path, {"params": 1}, WORLD)
    assert origin(tmp_path) == {"params": 1}


def test_a_second_run_of_a_stage_is_kept_out(tmp_path: Path) -> None:
    message = f"held by another process that trains {STAGE}"
    with locked(tmp_path, STAGE), pytest.raises(UserError, match=message), locked(tmp_path, STAGE):
        pass
    with locked(tmp_path, STAGE):
        pass
