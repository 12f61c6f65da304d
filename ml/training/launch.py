"""Starts a training stage in processes of its own, through DeepSpeed's launcher.

On one machine that is the per-node launcher, which the `deepspeed` command would start as well: going there directly
saves that command's own imports, about 4 s a stage. With a hostfile it is the `deepspeed` command.
"""

import base64
import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import ml
from ml.errors import UserError
from ml.params import Params
from ml.training.tracking import journal, sending, store
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path
from ml.workspace.report import Report

PACKAGE_ROOT = Path(ml.__file__).parents[1]
ERROR = "error: "  # begins the line in which a process says what the user can act on
TAIL = 12  # lines of output that go into an error which no process explained


def launch(stage: str, ws: Workspace, params: Params, env: Mapping[str, str] | None = None) -> Report:
    """Run a training stage to its end; its output streams to stderr.

    Args:
        env: added to the environment; Dagster Pipes hands its bootstrap variables over here.

    Raises:
        UserError: a process failed, and the text is what it said; or its run has no place to go to.
    """
    store.require_active(ws, params)
    variables = {**environment(params), **(env or {})}
    if params.training.hostfile is not None:
        variables["DS_ENV_FILE"] = str(_write_exports(ws.resume / "environment", variables))
    try:
        code, tail = _run(command(stage, ws, params), variables)
    except BaseException:  # Ctrl-C, or the run was terminated on Dagster's page
        journal.bury(ws, stopped=True)
        _send(ws, params)
        raise
    if code:
        journal.bury(ws, tail)
        _send(ws, params)
        raise UserError(failure(stage, code, tail))
    return report(stage, ws)


def _send(ws: Workspace, params: Params) -> None:
    """Tell the store how a process has ended, where it did not do so itself."""
    if journal.pending(ws):
        with suppress(UserError):  # of the store: why the launch failed matters more
            sending.send_pending(sending.Place.open(ws, params))


def command(stage: str, ws: Workspace, params: Params) -> list[str]:
    """The command line that starts the stage.

    Raises:
        UserError: the hostfile is missing, or there are fewer devices than processes.
    """
    program = ["ml.training.main", "--stage", stage, "--workspace", str(ws.root)]
    if params.training.hostfile is None:
        world = {"localhost": devices(params.training.processes)}
        encoded = base64.urlsafe_b64encode(json.dumps(world).encode()).decode()
        start = [sys.executable, "-m", "ml.training.engine.node", f"--world_info={encoded}", "--master_addr=127.0.0.1"]
    else:
        hostfile = ws.root / params.training.hostfile
        if not hostfile.is_file():
            raise UserError(f"training.hostfile: {hostfile} is missing; write one line `host slots=N` a node")
        start = [str(Path(sys.executable).with_name("deepspeed")), f"--hostfile={hostfile}"]
    port = [f"--master_port={free_port()}", "--log_level=error", "--no_local_rank", "--module"]
    return [*start, *port, *program]


def environment(params: Params) -> dict[str, str]:
    """The variables that the processes need beside those of this one."""
    threads = max(1, len(os.sched_getaffinity(0)) // params.training.processes)
    path = os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)), "PYTHONPATH": path}


def devices(processes: int) -> list[int]:
    """The device numbers of the processes: the first that CUDA_VISIBLE_DEVICES names, where it is set.

    Raises:
        UserError: it names fewer than there are processes.
    """
    visible = [int(number) for number in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if number.isdigit()]
    if visible and len(visible) < processes:
        raise UserError(
            f"CUDA_VISIBLE_DEVICES: names {len(visible)} devices ({','.join(map(str, visible))}), training.processes "
            f"asks for {processes}; name more devices, or set training.processes to {len(visible)}"
        )
    return (visible or list(range(processes)))[:processes]


def free_port() -> int:
    """A TCP port that nothing listens on; DeepSpeed's fixed 29500 would let two runs collide."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def report(stage: str, ws: Workspace) -> Report:
    """What a finished stage has to tell, from what it wrote."""
    texts = [(ws.stage(stage) / name).read_text(encoding="utf-8") for name in ("best.json", "validation.json")]
    done, validation = map(json.loads, texts)
    numbers = {"steps": done["steps"], "best_step": done["best"]["step"], **done["best"]["metrics"]}
    return Report(numbers=numbers, tables={"validation": validation})


def failure(stage: str, code: int, tail: Sequence[str]) -> str:
    """What to tell the user of a failed launch: the cause a process named, or the last lines of its output."""
    for line in tail:
        if line.startswith(ERROR):
            return line.removeprefix(ERROR)
    return "\n".join([f"{stage}: a training process ended with code {code}; its last lines were", *tail[-TAIL:]])


def _write_exports(path: Path, variables: Mapping[str, str]) -> Path:
    """What the `deepspeed` command sets on every node: by itself it hands on only a few variables."""
    with atomic_path(path) as tmp:
        tmp.write_text("".join(f"{name}={value}\n" for name, value in variables.items()), encoding="utf-8")
    return path


def _run(arguments: Sequence[str], env: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run to the end, echoing to stderr; the exit code and the last 100 lines. An interrupt ends the processes too."""
    tail: deque[str] = deque(maxlen=100)
    with subprocess.Popen(
        arguments,
        env={**os.environ, **env},
        cwd=PACKAGE_ROOT,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            for line in process.stdout or ():
                sys.stderr.write(line)
                tail.append(line.rstrip("\n"))
            return process.wait(), list(tail)
        except BaseException:
            process.terminate()
            process.wait()  # the processes have last words
            raise
