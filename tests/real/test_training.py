"""Training at real size on two processes: ZeRO's stages and precisions agree, a killed run ends with the same bytes."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from town import FEW, Row, environment, make, set_params

from ml.workspace.keys import file_md5

pytestmark = pytest.mark.real

LAST = "multimodal_finetuning"
TWO = FEW["training"] | {"processes": 2, "global_batch": 2}
HALF = 5e-3  # of a loss: bf16 against fp32


def losses(root: Path, stage: str) -> list[float]:
    return [row["loss"] for row in json.loads((root / "data" / stage / "train.json").read_text())]


@pytest.fixture(scope="module")
def exact(real_town: Path, made: list[Row]) -> list[float]:
    set_params(real_town, FEW | {"training": TWO | {"zero_stage": 0, "precision": "fp32"}})
    make(real_town, LAST)
    return losses(real_town, LAST)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_zero_and_precision_change_no_loss(
    real_town: Path, exact: list[float], zero_stage: int, precision: str
) -> None:
    set_params(real_town, FEW | {"training": TWO | {"zero_stage": zero_stage, "precision": precision}})
    row = make(real_town, LAST)
    print(f"ZeRO {zero_stage} {precision}: {row.took.seconds:.0f} s, {row.took.peak / 2**30:.1f} GB")
    assert losses(real_town, LAST) == pytest.approx(exact, rel=1e-4 if precision == "fp32" else HALF)


def test_a_killed_stage_goes_on_to_the_same_bytes(real_town: Path, made: list[Row]) -> None:
    longer = {"training": TWO | {"validations": 2}, LAST: {"steps": 4}}
    set_params(real_town, FEW | longer)
    make(real_town, LAST)
    weights = real_town / "data" / LAST / "model.safetensors"
    whole = file_md5(weights)
    weights.unlink()
    run = subprocess.Popen(["arrcoc", "stage", LAST], cwd=real_town, env=environment(real_town), start_new_session=True)
    saved = real_town / "data" / ".resume" / LAST / "latest"
    while run.poll() is None and not saved.is_file():
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert saved.is_file(), "killed before anything was saved"
    make(real_town, LAST)
    assert file_md5(weights) == whole
