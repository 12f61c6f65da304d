"""The processes of this machine."""

import os
import sys
from collections.abc import Callable

import pytest

from ml.errors import UserError
from ml.training.launchers.here import command, devices
from ml.training.launchers.processes import environment
from ml.workspace import Workspace
from ml.workspace.settings import load

Make = Callable[..., Workspace]


def test_one_machine_is_deepspeeds_node_launcher(workspace: Make) -> None:
    ws = workspace(training={"processes": 2, "global_batch": 6})
    made = command("relevance_learning", ws, load(ws.params_file))
    assert made[:3] == [sys.executable, "-m", "ml.training.engine.node"]
    assert made[-5:] == ["ml.training.main", "--stage", "relevance_learning", "--workspace", str(ws.root)]


def test_ports_differ_between_launches(workspace: Make) -> None:
    ws = workspace()
    made = [command("relevance_learning", ws, load(ws.params_file)) for _ in range(2)]
    ports = [[part for part in one if part.startswith("--master_port=")] for one in made]
    assert ports[0] != ports[1]


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices(2) == [0, 1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    assert devices(2) == [4, 6]
    with pytest.raises(UserError, match=r"names 3 devices \(4,6,7\), training.processes asks for 8; name more"):
        devices(8)


def test_threads_are_shared_among_processes(workspace: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0))
    one, many = (load(workspace(training={"processes": n, "global_batch": 3 * n}).params_file) for n in (1, 2 * cores))
    assert environment(one)["OMP_NUM_THREADS"] == str(cores)
    assert environment(many)["OMP_NUM_THREADS"] == "1"
