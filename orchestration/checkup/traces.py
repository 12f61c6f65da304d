"""What is at work here, and what dead processes left: ports, locks, halves of files."""

import socket
from itertools import chain

from ml.workspace import Workspace
from ml.workspace.atomic import scraps
from orchestration.checkup.finding import AmissError

PORTS = (3000, 5000, 8001)  # of `arrcoc ui`


def ports(_: Workspace) -> str:
    """Whether those of `arrcoc ui` are free."""
    taken = [str(port) for port in PORTS if _answers(port)]
    if taken:
        raise AmissError(f"in use: {', '.join(taken)}")
    return f"{', '.join(map(str, PORTS))} are free"


def run_lock(ws: Workspace) -> str:
    """Whether a run is under way."""
    from orchestration.freshness.lock import busy

    if busy(ws):
        holder = (ws.root / ".dagster" / "run.lock").read_text(encoding="utf-8").strip()
        raise AmissError(f"process {holder[:20]} runs stages here")
    return "free"


def locks(ws: Workspace) -> str:
    """Those of DVC and git whose processes are gone; ours are the kernel's, which lets go of them itself."""
    from orchestration.freshness.dvc_lock import holders, rwlock

    found, index = holders(ws), ws.root / ".git" / "index.lock"
    if found and not any(found.values()):
        raise AmissError(f"{rwlock(ws)} is of processes that are gone: {', '.join(map(str, found))}")
    if index.exists():
        raise AmissError(f"{index} is there: git is at work, or was killed")
    return "none"


def leftovers(ws: Workspace) -> str:
    """Halves of files."""
    left = list(chain(scraps(ws.data), (ws.root / ".dvc" / "cache").rglob("*.tmp")))
    if left:
        raise AmissError(f"{len(left)} halves of files, {left[0]} first")
    return "none"


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
