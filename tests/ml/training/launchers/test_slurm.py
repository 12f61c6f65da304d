"""A stage as a job of a real Slurm with two nodes on this machine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml.errors import UserError
from ml.training.launch import launch
from ml.training.launchers import slurm
from ml.training.launchers.processes import PACKAGE_ROOT
from ml.training.slurm_task import variables
from ml.workspace import Workspace
from ml.workspace.settings import load
from tests.clusters.slurm import SlurmCluster, slurm_cluster
from tests.clusters.waiting import wait_for

STAGE = "text_region_grounding"
Make = Callable[..., Workspace]
TASK = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NTASKS": "4", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.7"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with slurm_cluster() as found:
        yield found


def params_of(launcher: str = "slurm", steps: int = 300) -> dict[str, Any]:
    training = {"launcher": launcher, "processes": 2, "global_batch": 4, "batch_size": 2, "validations": 6}
    return {"training": training | {"log_interval": 7}, "slurm": {"nodes": 2}, STAGE: {"steps": steps}}


@pytest.fixture
def undisturbed(workspace: Make) -> Workspace:
    ws = workspace(**params_of("deepspeed"))
    launch(STAGE, ws, load(ws.params_file))
    return ws


def launched(ws: Workspace) -> "subprocess.Popen[str]":
    """A launch of the stage in a process of its own."""
    code = "from ml.training.launch import launch; from ml.training.main import *\n"
    code += f"try:\n    launch({STAGE!r}, (ws := Workspace(Path({str(ws.root)!r}))), load(ws.params_file))\n"
    code += "except KeyboardInterrupt:\n    sys.exit(130)"
    env = os.environ | {"PYTHONPATH": str(PACKAGE_ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ws.root,
        env=env,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def job_of(ws: Workspace) -> str:
    """The id of the stage's job, once it is submitted and trains."""
    note = ws.resume / "slurm" / STAGE / "job.json"
    wait_for(note.exists)
    job = str(json.loads(note.read_text())["job"])
    log = note.with_name(f"{job}.log")
    wait_for(lambda: log.exists() and f"{STAGE} 14/" in log.read_text(), 180)
    return job


def same(one: Workspace, other: Workspace) -> bool:
    names = [file.name for file in sorted(one.stage(STAGE).iterdir())]
    return all((one.stage(STAGE) / name).read_bytes() == (other.stage(STAGE) / name).read_bytes() for name in names)


def test_a_task_is_told_to_torch_as_a_rank() -> None:
    found = variables(TASK | {"ARRCOC_MASTER_PORT": "20007", "CUDA_VISIBLE_DEVICES": "0,1"})
    assert (found["RANK"], found["LOCAL_RANK"]) == ("3", "1")
    assert (found["WORLD_SIZE"], found["MASTER_ADDR"], found["MASTER_PORT"]) == ("4", "10.0.0.7", "20007")
    assert variables(TASK | {"ARRCOC_MASTER_PORT": "1", "CUDA_VISIBLE_DEVICES": "1"})["LOCAL_RANK"] == "0"


def test_params_become_options(workspace: Make) -> None:
    ws = workspace(
        training={"launcher": "slurm"},
        slurm={"partition": "a100", "time": "4:00:00", "gpus_per_task": 1, "grace": 300, "options": ["--qos=long"]},
    )
    made = slurm.options(STAGE, Path("/out"), load(ws.params_file))
    assert {"--partition=a100", "--time=4:00:00", "--gpus-per-task=1", "--ntasks=1", "--signal=USR1@300"} <= set(made)
    assert made[-1] == "--qos=long" and not [option for option in made if option.startswith("--account")]


def test_without_slurm_one_line_says_so(workspace: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = workspace(training={"launcher": "slurm"})
    monkeypatch.setenv("PATH", "/nowhere")
    for command in ("sbatch", "scontrol"):
        with pytest.raises(UserError, match=rf"training\.launcher: slurm, but {command} is not installed here; run on"):
            slurm.launch(STAGE, ws, load(ws.params_file), {})
        (ws.resume / "slurm" / STAGE / "job.json").write_text('{"job": "1", "made_from": ""}')  # for the second


@pytest.mark.slow
def test_what_slurm_refuses_is_one_line(workspace: Make, cluster: SlurmCluster) -> None:
    ws = workspace(training={"launcher": "slurm"}, slurm={"partition": "nowhere"})
    with pytest.raises(UserError, match=r"sbatch: .*invalid partition specified: nowhere.*see the section slurm of"):
        launch(STAGE, ws, load(ws.params_file))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["requeued", "time is up"])
def test_a_requeued_job_goes_on_to_the_same_bytes(
    workspace: Make, cluster: SlurmCluster, undisturbed: Workspace, how: str
) -> None:
    ws = workspace(**params_of())
    run = launched(ws)
    job = job_of(ws)
    cluster.do(*(("scontrol", "requeue", job) if how == "requeued" else ("scancel", "--signal=USR1", job)))
    wait_for(lambda: "Restarts=1" in cluster.do("scontrol", "show", "job", job), 90)
    cluster.do("scontrol", "update", f"JobId={job}", "StartTime=now")
    _, said = run.communicate(timeout=300)
    assert run.returncode == 0, said
    assert "stopped when asked, and saved" in said and f"{STAGE} goes on from step" in said
    assert same(undisturbed, ws)


@pytest.mark.slow
def test_a_node_that_is_lost_costs_a_restart(workspace: Make, cluster: SlurmCluster, undisturbed: Workspace) -> None:
    ws = workspace(**params_of())
    run = launched(ws)
    job = job_of(ws)
    wait_for((ws.resume / STAGE / "latest").exists, 120)
    cluster.kill_node("n2")
    wait_for(lambda: "Restarts=1" in cluster.do("scontrol", "show", "job", job), 120)
    cluster.node("n2")
    _, said = run.communicate(timeout=600)  # Slurm itself waits two minutes
    assert run.returncode == 0, said
    assert same(undisturbed, ws)


@pytest.mark.slow
def test_an_interrupt_ends_the_job_which_saves(workspace: Make, cluster: SlurmCluster) -> None:
    ws = workspace(**params_of(steps=2000))
    run = launched(ws)
    job = job_of(ws)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=120)
    assert run.returncode == 130
    assert "JobState=CANCELLED" in cluster.do("scontrol", "show", "job", job)
    assert (ws.resume / STAGE / "latest").exists()


@pytest.mark.slow
def test_a_job_outlives_the_one_that_waits_and_is_followed_by_the_next(
    workspace: Make, cluster: SlurmCluster, undisturbed: Workspace
) -> None:
    ws = workspace(**params_of())
    run = launched(ws)
    job = job_of(ws)
    run.kill()
    run.communicate()
    after = launched(ws)
    _, said = after.communicate(timeout=300)
    assert after.returncode == 0 and f"Slurm job {job} of an earlier run is still there, and is followed" in said
    assert same(undisturbed, ws)
