"""The processes of several hosts, through the `deepspeed` command: it starts its per-node launcher on each by pdsh.

The hosts see the workspace, and the environment, under the same paths (a shared file system).
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

from ml.errors import UserError, cut
from ml.params import Params
from ml.training.launchers.here import options
from ml.training.launchers.processes import ERROR, Ended, program, run
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path

LINE = re.compile(r"(?P<host>\S+)\s+slots=(?P<slots>\d+)")  # of DeepSpeed's hostfile
# A host that does not answer is lost after 15 s; a terminal on the other side ends its processes with the connection.
SSH = "-o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3"
EXIT = re.compile(r"pdsh@\S+: (?P<host>\S+): ssh exited with exit code (?P<code>\d+)")
LOST = 255  # ssh's own code: the connection, not what ran there


def launch(stage: str, ws: Workspace, params: Params, variables: Mapping[str, str]) -> Ended:
    """Run the stage on all hosts to its end, their output on stderr; where one is lost, end the others.

    Raises:
        UserError: the hostfile is not as it must be, or a host can't be reached or does not see the workspace.
    """
    file = ws.root / str(params.training.hostfile)
    hosts = read(file, params.training.processes)
    require(hosts, ws, file)
    exports = _write_exports(ws.resume / "environment", variables)
    ssh = f"{os.environ.get('PDSH_SSH_ARGS_APPEND', '')} {SSH} -tt"
    ended: list[tuple[str, int]] = []  # hosts with their codes, the first that ended first

    def seen(line: str) -> None:
        if found := EXIT.search(line):
            ended.append((found["host"], int(found["code"])))
            if ended[-1][1] == LOST:
                _hang_up()

    code, tail = run(
        command(stage, ws, file, next(iter(hosts))),
        {**variables, "DS_ENV_FILE": str(exports), "PDSH_SSH_ARGS_APPEND": ssh},
        seen,
        end=_hang_up,
    )
    return code, [*explained(file, ended), *(line.partition(": ")[2] if _host(line, hosts) else line for line in tail)]


def read(file: Path, processes: int) -> dict[str, int]:
    """The hosts of a hostfile with the processes that each takes: {"node1": 8, ...}.

    Raises:
        UserError: it is missing, a line says something else, or they take another number than there are processes.
    """
    if not file.is_file():
        raise UserError(f"training.hostfile: {file} is missing; write one line `host slots=N` a node")
    hosts: dict[str, int] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if text := line.partition("#")[0].strip():
            found = LINE.fullmatch(text)
            if not found or found["host"] in hosts or not int(found["slots"]):
                raise UserError(f"{file}:{number}: {cut(text, 60)!r}; wanted `host slots=N`, each host once")
            hosts[found["host"]] = int(found["slots"])
    if sum(hosts.values()) != processes:
        raise UserError(
            f"{file}: {len(hosts)} hosts with {sum(hosts.values())} slots, but training.processes is {processes}; "
            "make them the same"
        )
    return hosts


def require(hosts: Mapping[str, int], ws: Workspace, file: Path) -> None:
    """Ask every host, all at once, whether it is there and sees the workspace and the environment.

    Raises:
        UserError: one does not; or what reaches them is not installed.
    """
    for name, package in (("ssh", "openssh-client"), ("pdsh", "pdsh")):
        if not shutil.which(name):
            raise UserError(
                f"training.hostfile: {name} is not installed, by which hosts are reached; install {package}"
            )
    with ThreadPoolExecutor(len(hosts)) as threads:
        faults = [fault for fault in threads.map(lambda host: _fault(host, ws), hosts) if fault]
    if faults:
        raise UserError(f"{file}: {'; '.join(faults)}")


def command(stage: str, ws: Workspace, file: Path, first: str) -> list[str]:
    """The command line that starts the stage on all hosts; `first`: the one that the others meet at."""
    start = [str(Path(sys.executable).with_name("deepspeed")), f"--hostfile={file}", "--force_multi", "--no_ssh_check"]
    return [*start, f"--master_addr={address(first)}", *options(), *program(stage, ws)]


def address(host: str) -> str:
    """What ssh's configuration calls a host; DeepSpeed would take the first that `hostname -I` prints there."""
    said = subprocess.run(["ssh", "-G", host], capture_output=True, text=True).stdout
    return next((line.split()[1] for line in said.splitlines() if line.startswith("hostname ")), host)


def explained(file: Path, ended: Sequence[tuple[str, int]]) -> list[str]:
    """What to tell where a host was lost, or of the one whose processes ended first."""
    if lost := [host for host, code in ended if code == LOST]:
        return [f"{ERROR}{file}: lost the connection to host {lost[0]}; see that it is up, then run again to go on"]
    return [f"host {host}: its processes ended with code {code}, the first to end" for host, code in ended[:1]]


def _fault(host: str, ws: Workspace) -> str | None:
    """Why a host can't be used, if it can't."""
    there = f"test -f {shlex.quote(str(ws.params_file))} && test -x {shlex.quote(sys.executable)}"
    extra = shlex.split(os.environ.get("PDSH_SSH_ARGS_APPEND", ""))
    done = subprocess.run(["ssh", *extra, *SSH.split(), host, there], capture_output=True, text=True)
    if done.returncode == LOST:
        said = cut((done.stderr.strip().splitlines() or ["no answer"])[-1].strip(), 120)
        return (
            f"host {host} can't be reached by ssh ({said}); see that it is up and lets this user in without a password"
        )
    if done.returncode:
        return (
            f"host {host} does not see {ws.params_file} or {sys.executable}; put both on a file system that all share"
        )
    return None


def _host(line: str, hosts: Mapping[str, int]) -> bool:
    return line.partition(": ")[0] in hosts  # pdsh puts it before each line


def _hang_up() -> None:
    """End the connections of this process's `deepspeed` command, and with them what runs on the other side.

    The command itself, told to end, would end whatever DeepSpeed has started on those hosts, of other runs too.
    """
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if child.name() in ("pdsh", "ssh"):
                child.terminate()


def _write_exports(path: Path, variables: Mapping[str, str]) -> Path:
    """What the `deepspeed` command sets on every node: by itself it hands on only a few variables."""
    with atomic_path(path) as tmp:
        tmp.write_text("".join(f"{name}={value}\n" for name, value in variables.items()), encoding="utf-8")
    return path
