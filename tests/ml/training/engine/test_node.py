"""The launcher of one machine: what it says of a killed process, and that nothing outlives a killed parent."""

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ml.training.engine.node import killed
from ml.training.launchers.processes import free_port

ROOT = Path(__file__).parents[4]


def command(module: str) -> list[str]:
    world = base64.urlsafe_b64encode(json.dumps({"localhost": [0]}).encode()).decode()
    start = [sys.executable, "-m", "ml.training.engine.node", f"--world_info={world}", "--master_addr=127.0.0.1"]
    return [*start, f"--master_port={free_port()}", "--log_level=error", "--no_local_rank", "--module", module]


def environment(tmp_path: Path, code: str) -> dict[str, str]:
    (tmp_path / "rank.py").write_text(code)
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (9, "error: a training process was killed (signal 9), most likely out of memory: lower training.batch_size or"),
        (11, "error: a training process was killed (signal 11)"),
    ],
)
def test_a_killed_process_is_one_line(tmp_path: Path, number: int, said: str) -> None:
    env = environment(tmp_path, f"import os; os.kill(os.getpid(), {number})")
    done = subprocess.run(command("rank"), env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(said)
    assert "Traceback" not in done.stderr


def test_only_a_kill_speaks_of_memory() -> None:
    assert "memory" in killed(signal.SIGKILL)
    assert "memory" not in killed(signal.SIGTERM)


def test_a_parent_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """The pipe that all write to ends when all are gone."""
    env = environment(tmp_path, "import time; print('up', flush=True); time.sleep(300)")
    parent = f"import subprocess; subprocess.run({command('rank')!r})"
    with subprocess.Popen([sys.executable, "-c", parent], env=env, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "up\n"
        started.kill()
        assert started.communicate(timeout=60)[0] == ""
