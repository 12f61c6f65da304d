"""Dagster's three servers: the one that loads the definitions, the page, and the daemon.

The code server is started here and not by `dagster dev`: that has it leave when no heartbeat comes for 45 s,
which a stalled machine and a paused process look like. One that leaves with a run in flight, and is reloaded before the
run ends, neither goes nor takes another run. This one knows no heartbeat, and ends with the group it is started in.
"""

import os
import sys
from collections.abc import Collection
from pathlib import Path

import psutil
import yaml

from ml.workspace.atomic import atomic_path
from orchestration.freshness.lock import SPAWNED

MODULE = "orchestration.definitions"
FOREVER = str(10**9)  # seconds
HELD = "5"


def code_server(socket: Path) -> list[str]:
    """What loads the definitions, again at each reload, and runs what the page launches."""
    program = [sys.executable, "-m", "dagster", "code-server", "start", "-m", MODULE, "--location-name", MODULE]
    return [*program, "--socket", str(socket), "--heartbeat-ttl", FOREVER, "--log-level", "warning"]


def webserver(workspace: Path, host: str, port: int) -> list[str]:
    """Dagster's page; a connection to PostgreSQL is held for moments, not for Dagster's hour: a restart cuts it."""
    program = [sys.executable, "-m", "dagster_webserver", "-w", str(workspace), "-h", host, "-p", str(port)]
    return [*program, "--db-pool-recycle", HELD]


def daemon(workspace: Path) -> list[str]:
    """What takes runs from Dagster's queue, and looks at its sensors."""
    return [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)]


def write_workspace(path: Path, socket: Path) -> Path:
    """Dagster's `workspace.yaml`, which names the code server."""
    location = {"grpc_server": {"socket": str(socket), "location_name": MODULE}}
    with atomic_path(path) as tmp:
        tmp.write_text(yaml.safe_dump({"load_from": [location]}), encoding="utf-8")
    return path


def is_run(process: psutil.Process, groups: Collection[int]) -> bool:
    """Whether a process is a run that a code server, which leads a group of these, has started by multiprocessing."""
    try:
        return os.getpgid(process.pid) in groups and SPAWNED in " ".join(process.cmdline())
    except (psutil.Error, ProcessLookupError):  # it has just ended
        return False
