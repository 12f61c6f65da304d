"""What all launchers share: the program, its variables, and a command that is run to its end."""

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ml
from ml.params import Params
from ml.workspace import Workspace

PACKAGE_ROOT = Path(ml.__file__).parents[1]
ERROR = "error: "  # begins the line in which a process says what the user can act on
AGAIN = 75  # the exit code of a process that has saved and wants to be started again (sysexits.h)
LINES = 100  # of output that are kept

Ended = tuple[int, list[str]]  # exit code, last lines of output


def program(stage: str, ws: Workspace) -> list[str]:
    """The module that each process runs, with its arguments."""
    return ["ml.training.main", "--stage", stage, "--workspace", str(ws.root)]


def environment(params: Params) -> dict[str, str]:
    """The variables that the processes need beside those of this one."""
    threads = max(1, len(os.sched_getaffinity(0)) // params.training.processes)
    path = os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)), "PYTHONPATH": path}


def free_port() -> int:
    """A TCP port that nothing listens on; DeepSpeed's fixed 29500 would let two runs collide."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(
    arguments: Sequence[str],
    env: Mapping[str, str],
    seen: Callable[[str], None] = lambda line: None,
    end: Callable[[], None] | None = None,
) -> Ended:
    """Run a command to its end, echoing to stderr. An interrupt ends its processes too.

    Args:
        seen: is told each line.
        end: ends the command; None: SIGTERM.
    """
    tail: deque[str] = deque(maxlen=LINES)
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
                tail.append(line.rstrip("\r\n"))
                seen(tail[-1])
            return process.wait(), list(tail)
        except BaseException:
            (end or process.terminate)()
            process.wait()  # the processes have last words
            raise
