"""Starts a training stage in processes of its own: on this machine, on several hosts, or as a Slurm job."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from ml.errors import UserError
from ml.params import Params
from ml.training.launchers import here, hosts, slurm
from ml.training.launchers.processes import ERROR, Ended, environment
from ml.training.tracking import journal, sending, store
from ml.workspace import Workspace
from ml.workspace.report import Report

TAIL = 12  # lines of output that go into an error which no process explained


def launch(stage: str, ws: Workspace, params: Params, env: Mapping[str, str] | None = None) -> Report:
    """Run a training stage to its end; its output streams to stderr.

    Args:
        env: added to the environment; Dagster Pipes hands its bootstrap variables over here.

    Raises:
        UserError: a process failed, and the text is what it said; or its run has no place to go to.
    """
    store.require_active(ws, params)
    start = launcher(params)
    elsewhere = None if start is here.launch else stage
    try:
        code, tail = start(stage, ws, params, {**environment(params), **(env or {})})
    except BaseException:  # Ctrl-C, or the run was terminated on Dagster's page
        journal.bury(ws, stopped=True, elsewhere=elsewhere)
        _send(ws, params)
        raise
    if code:
        journal.bury(ws, tail, elsewhere=elsewhere)
        _send(ws, params)
        raise UserError(failure(stage, code, tail))
    return report(stage, ws)


def launcher(params: Params) -> Callable[[str, Workspace, Params, Mapping[str, str]], Ended]:
    """Who starts the processes, as the params say."""
    if params.training.launcher == "slurm":
        return slurm.launch
    return here.launch if params.training.hostfile is None else hosts.launch


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


def _send(ws: Workspace, params: Params) -> None:
    """Tell the store how a process has ended, where it did not do so itself."""
    if journal.pending(ws):
        with suppress(UserError):  # of the store: why the launch failed matters more
            sending.send_pending(sending.Place.open(ws, params))
