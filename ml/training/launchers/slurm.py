"""A training stage as a Slurm job: submitted, followed to its end, ended with the run; requeued, it goes on by itself.

Submitted and asked with Slurm's own commands. `submitit` (1.5) asks sacct, for which a cluster needs an accounting
database, ignores SIGTERM, and pickles functions; `dagster-slurm` (1.22) wants the same database's last word on every
job, and has no word for one that is requeued.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ml.errors import UserError, cut
from ml.params import Params
from ml.training.launchers.processes import AGAIN, ERROR, LINES, PACKAGE_ROOT, Ended, program
from ml.workspace import Workspace, stages
from ml.workspace.atomic import write_json
from ml.workspace.snapshot import Snapshot

ASK_SECONDS = 5.0  # between two questions about the job: sites ask not to be asked more often
LOOK_SECONDS = 1.0  # between two looks at its output
PATIENCE = 120.0  # for a Slurm that does not answer, restarted for example
WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "SUSPENDED", "STOPPED"}
AT_WORK = {"RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "RESIZING"}
NOTE = "job.json"  # which job trains a stage, and from what
GONE = "GONE"  # Slurm forgets a job some minutes after its end


@dataclass(frozen=True)
class Job:
    """A job and where it writes: its output, and the code it ended with."""

    id: str
    folder: Path

    @property
    def log(self) -> Path:
        """What all its processes write, one start after the other."""
        return self.folder / f"{self.id}.log"

    @property
    def code(self) -> Path:
        """The exit code, once it is over for good."""
        return self.folder / f"{self.id}.code"


def launch(stage: str, ws: Workspace, params: Params, variables: Mapping[str, str]) -> Ended:
    """Run the stage as a job to its end, its output on stderr; an interrupt ends the job.

    A job that an earlier run has left, killed for example, is followed where it trains from the same, else ended.

    Raises:
        UserError: Slurm is not here, or takes no such job.
    """
    job = left(stage, ws, params) or submit(stage, ws, params, variables)
    try:
        code, tail = follow(job, stage)
    except BaseException:
        cancel(job)
        raise
    (job.folder / NOTE).unlink(missing_ok=True)
    return code, tail


def submit(stage: str, ws: Workspace, params: Params, variables: Mapping[str, str]) -> Job:
    """Hand the stage to Slurm.

    Raises:
        UserError: Slurm takes no such job.
    """
    folder = _folder(stage, ws)
    shutil.rmtree(folder, ignore_errors=True)  # of a job before, maybe of another cluster with the same number
    folder.mkdir(parents=True)
    said = _do(["sbatch", *options(stage, folder, params)], script(stage, ws, folder, params), variables)
    job = Job(said.strip().partition(";")[0], folder)
    write_json(folder / NOTE, {"job": job.id, "made_from": made_from(stage, ws, params)})
    _say(f"{stage}: Slurm job {job.id} is submitted")
    return job


def options(stage: str, folder: Path, params: Params) -> list[str]:
    """What `sbatch` is told."""
    slurm, processes = params.slurm, params.training.processes
    given: dict[str, str | int | None] = {
        **{name: getattr(slurm, name) for name in ("partition", "account", "time", "nodes")},
        "cpus-per-task": slurm.cpus_per_task,
        "gpus-per-task": slurm.gpus_per_task or None,
    }
    asked = [f"--{name}={value}" for name, value in given.items() if value is not None]
    fixed = [f"--job-name=arrcoc-{stage}", f"--ntasks={processes}", f"--output={folder}/%j.log", "--open-mode=append"]
    return ["--parsable", "--requeue", f"--signal=USR1@{slurm.grace}", *fixed, *asked, *slurm.options]


def script(stage: str, ws: Workspace, folder: Path, params: Params) -> str:
    """The batch script: the processes, and once more where they say so and it has not been too often."""
    run = shlex.join([sys.executable, "-u", "-m", "ml.training.slurm_task", *program(stage, ws)[1:]])
    return f"""#!/bin/bash
cd {shlex.quote(str(PACKAGE_ROOT))}
export ARRCOC_MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
srun --kill-on-bad-exit=1 {run}
code=$?
if [ $code = {AGAIN} ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {params.slurm.restarts} ]; then
  scontrol requeue $SLURM_JOB_ID && sleep 60  # until Slurm ends this script
fi
echo $code > {shlex.quote(str(folder))}/$SLURM_JOB_ID.tmp
mv {shlex.quote(str(folder))}/$SLURM_JOB_ID.tmp {shlex.quote(str(folder))}/$SLURM_JOB_ID.code
exit $code
"""


def follow(job: Job, stage: str) -> Ended:
    """Wait for the job's end, its output on stderr as it comes, and why it waits."""
    tail: deque[str] = deque(maxlen=LINES)
    told, lines, state = "", output(job), ""
    for state, reason in states(job):
        for line in lines:
            if line is None:
                break
            sys.stderr.write(f"{line}\n")
            tail.append(line)
        words = f"{stage}: Slurm job {job.id} waits ({reason})" if state in WAITING else ""
        if words and words != told:
            _say(words)
        told = words
    return ended(job, state, list(tail))


def states(job: Job) -> Iterator[tuple[str, str]]:
    """The job's state and why it is in it, once a second, to the last; Slurm itself is asked less often."""
    state, reason, asked = "PENDING", "submitted", 0.0
    while True:
        over = job.code.is_file()
        if over or time.monotonic() - asked > ASK_SECONDS:
            state, reason = state_of(job)
            asked = time.monotonic()
        over = over or state not in WAITING | AT_WORK
        if over:
            time.sleep(LOOK_SECONDS)  # for a shared file system's last lines
        yield state, reason
        if over:
            return
        time.sleep(LOOK_SECONDS)


def state_of(job: Job) -> tuple[str, str]:
    """The job's state (`RUNNING`) and the reason that Slurm gives for it; GONE for a job that it does not know.

    Raises:
        UserError: Slurm is not here, or does not answer for minutes.
    """
    begun = time.monotonic()
    while True:
        done = _ask(["scontrol", "show", "job", "-o", job.id])
        if done.returncode == 0:
            found = dict(re.findall(r"(\w+)=(\S*)", done.stdout))
            return found.get("JobState", GONE), found.get("Reason", "")
        if "Invalid job id" in done.stderr:
            return GONE, ""
        if time.monotonic() - begun > PATIENCE:
            raise UserError(f"Slurm does not answer ({cut(done.stderr.strip(), 160)}); job {job.id} is left to it")
        time.sleep(ASK_SECONDS)


def ended(job: Job, state: str, tail: list[str]) -> Ended:
    """The job's exit code and last lines; what Slurm has done to it, where it did not end by itself."""
    with suppress(OSError, ValueError):
        return int(job.code.read_text()), tail
    said = f"Slurm job {job.id} ended as {state}; see {job.log}, and scontrol show job {job.id}; run again to go on"
    return 1, [*tail, f"{ERROR}{said}"]


def output(job: Job) -> Iterator[str | None]:
    """The lines of the job's output as they come; None where there is no more for now."""
    position, rest = 0, b""
    while True:
        with suppress(FileNotFoundError), job.log.open("rb") as file:
            file.seek(position)
            found = file.read()
            position += len(found)
            *lines, rest = (rest + found).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
        yield None


def cancel(job: Job) -> None:
    """End the job, which saves first, and wait until it is over."""
    with suppress(UserError):
        _do(["scancel", job.id])
        begun = time.monotonic()
        while state_of(job)[0] in WAITING | AT_WORK and time.monotonic() - begun < PATIENCE:
            time.sleep(LOOK_SECONDS)


def left(stage: str, ws: Workspace, params: Params) -> Job | None:
    """The job of an earlier run that is still there and trains from what this one would; any other is ended."""
    try:
        folder = _folder(stage, ws)
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        job = Job(note["job"], folder)
    except (OSError, ValueError, KeyError):
        return None
    if state_of(job)[0] not in WAITING | AT_WORK:
        return None
    if note["made_from"] == made_from(stage, ws, params):
        _say(f"{stage}: Slurm job {job.id} of an earlier run is still there, and is followed")
        return job
    _say(f"{stage}: Slurm job {job.id} of an earlier run trains from something else, and is ended")
    cancel(job)
    return None


def made_from(stage: str, ws: Workspace, params: Params) -> str:
    """The digest of all that decides the outcome of a stage."""
    declared, now = stages.stage(ws, stage), Snapshot(ws)
    parts = [now.deps(declared, params), declared.param_values(params), now.code_digest(declared)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def require() -> None:
    """See that this machine is one of a Slurm cluster.

    Raises:
        UserError: it is not, or its controller does not answer.
    """
    _do(["scontrol", "ping"])


def _folder(stage: str, ws: Workspace) -> Path:
    return ws.resume / "slurm" / stage


def _do(command: list[str], text: str = "", variables: Mapping[str, str] | None = None) -> str:
    """Run one of Slurm's commands; what it printed.

    Raises:
        UserError: it is not installed, or failed.
    """
    done = _ask(command, text, variables)
    if done.returncode:
        said = " ".join(done.stderr.split()).removeprefix(f"{command[0]}: error: ")
        raise UserError(f"{command[0]}: {cut(said, 200)}; see the section slurm of params.yaml, and sinfo")
    return done.stdout


def _ask(
    command: list[str], text: str = "", variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, env={**os.environ, **(variables or {})}
        )
    except FileNotFoundError as error:
        raise UserError(
            f"training.launcher: slurm, but {command[0]} is not installed here; run on a node of the cluster, "
            "or set training.launcher to deepspeed"
        ) from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
