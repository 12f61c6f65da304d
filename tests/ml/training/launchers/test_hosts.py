"""Several hosts: network namespaces of this machine with an sshd each, reached by DeepSpeed's own launcher."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml.errors import UserError
from ml.training.launch import launch
from ml.training.launchers import hosts
from ml.training.launchers.processes import PACKAGE_ROOT
from ml.workspace import Workspace
from ml.workspace.settings import load
from tests.clusters.hosts import Hosts, two_hosts
from tests.clusters.waiting import wait_for

STAGE = "text_region_grounding"
Make = Callable[..., Workspace]


@pytest.fixture(scope="module")
def network() -> Iterator[Hosts]:
    with two_hosts() as found:
        yield found


def params_of(hostfile: str | None = "hosts", steps: int = 60) -> dict[str, Any]:
    training = {"processes": 2, "global_batch": 4, "batch_size": 2, "hostfile": hostfile, "validations": 3}
    return {"training": training, STAGE: {"steps": steps}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "one slots=1\ntwo slots=8\n",
            r"hosts: 2 hosts with 9 slots, but training\.processes is 2; make them the same",
        ),
        ("one slots=2\ntwo\n", r"hosts:2: 'two'; wanted `host slots=N`, each host once"),
        ("one slots=1\none slots=1\n", r"hosts:2: 'one slots=1'; wanted"),
        ("one slots=0\n", r"hosts:1: 'one slots=0'; wanted"),
    ],
)
def test_a_hostfile_that_is_not_one_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(UserError, match=said):
        hosts.read(tmp_path / "hosts", 2)


def test_a_hostfile_is_read_as_deepspeed_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    with pytest.raises(UserError, match=r"training\.hostfile: .*hosts is missing; write one line"):
        hosts.read(file, 2)
    file.write_text("# ours\n\none slots=3   # of eight\ntwo  slots=1\n")
    assert hosts.read(file, 4) == {"one": 3, "two": 1}


def test_the_host_whose_processes_ended_first_is_told() -> None:
    file = Path("hosts")
    assert hosts.explained(file, []) == []
    assert hosts.explained(file, [("two", 247), ("one", 1)]) == [
        "host two: its processes ended with code 247, the first to end"
    ]
    (lost,) = hosts.explained(file, [("one", 1), ("two", 255)])
    assert lost.startswith("error: hosts: lost the connection to host two; ")


@pytest.mark.slow
def test_two_hosts_train_to_the_bytes_of_one(workspace: Make, network: Hosts) -> None:
    here, ws = workspace(**params_of(None)), workspace(**params_of())
    network.write_hostfile(ws.root / "hosts")
    launch(STAGE, here, load(here.params_file))
    launch(STAGE, ws, load(ws.params_file))
    for file in here.stage(STAGE).iterdir():
        assert file.read_bytes() == (ws.stage(STAGE) / file.name).read_bytes()


@pytest.mark.slow
def test_a_host_that_is_not_there_is_named_before_anything_starts(workspace: Make, network: Hosts) -> None:
    ws = workspace(**params_of())
    (ws.root / "hosts").write_text(f"{network.names[0]} slots=1\n10.77.0.99 slots=1\n")
    with pytest.raises(UserError, match=r"hosts: host 10\.77\.0\.99 can't be reached by ssh \(.*\); see that it is up"):
        launch(STAGE, ws, load(ws.params_file))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut off", "powered off"])
def test_a_host_that_is_lost_is_named_and_the_next_run_goes_on(workspace: Make, network: Hosts, how: str) -> None:
    here, ws = workspace(**params_of(None, 400)), workspace(**params_of(steps=400))
    network.write_hostfile(ws.root / "hosts")
    launch(STAGE, here, load(here.params_file))
    code = "from ml.training.launch import launch; from ml.training.main import *\n"
    code += f"ws = Workspace(Path({str(ws.root)!r})); launch({STAGE!r}, ws, load(ws.params_file))"
    env = os.environ | {"PYTHONPATH": str(PACKAGE_ROOT)}
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ws.root, env=env, stderr=subprocess.PIPE, text=True)
    wait_for((ws.resume / STAGE / "latest").exists, 120)
    lost = network.names[1]
    (network.cut_off if how == "cut off" else network.power_off)(lost)
    _, said = run.communicate(timeout=120)
    assert run.returncode and f"hosts: lost the connection to host {lost}" in said.strip().splitlines()[-1]
    network.start(lost)
    wait_for(lambda: not network.at_work(), 120)
    launch(STAGE, ws, load(ws.params_file))
    for file in here.stage(STAGE).iterdir():
        assert file.read_bytes() == (ws.stage(STAGE) / file.name).read_bytes()
