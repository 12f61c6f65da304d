"""Whether this machine and workspace are fit for a run: what is found, what is wanted, and what mends it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import psutil

from ml.errors import cut
from ml.workspace import Workspace, lineage, stages
from ml.workspace.atomic import scraps
from ml.workspace.settings import load
from ml.workspace.yamlfile import MOST_CHARACTERS

GIGABYTE = 2**30
SECONDS = 3  # that a server has to answer


class AmissError(Exception):
    """Something that a check looked for is not as wanted, though a run may do; the text is what was found."""


@dataclass(frozen=True)
class Finding:
    """One line of the checkup; `state`: ok, warning or wrong."""

    name: str
    state: str
    found: str
    wanted: str
    mend: str


@dataclass(frozen=True)
class Check:
    """A look at one thing; it says what is found, and raises where that is wrong. ROOT in `mend`: the workspace."""

    name: str
    look: Callable[[Workspace], str]
    wanted: str
    mend: str

    def finding(self, ws: Workspace) -> Finding:
        """What the look comes to, whatever it raises."""
        try:
            return Finding(self.name, "ok", self.look(ws), self.wanted, "")
        except Exception as error:
            state = "warning" if isinstance(error, AmissError) else "wrong"
            found = cut(str(error) or type(error).__name__, MOST_CHARACTERS)
            return Finding(self.name, state, found, self.wanted, self.mend.replace("ROOT", str(ws.root)))


def checkup(start: Path) -> list[Finding]:
    """Every check of the workspace at or above a folder; where there is none, that alone."""
    place = Check("workspace", lambda ws: str(Workspace.find(ws.root).root), "a checkout", "cd into a checkout")
    first = place.finding(Workspace(start))
    return [first, *(check.finding(Workspace(Path(first.found))) for check in CHECKS if first.state == "ok")]


def _python(_: Workspace) -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != (3, 11):
        raise RuntimeError(version)
    return version


def _git(ws: Workspace) -> str:
    command = ["git", "-C", str(ws.root), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise AmissError(done.stderr)
    return f"commit {done.stdout.strip()}"


def _params(ws: Workspace) -> str:
    return f"seed {load(ws.params_file).seed}"


def _declaration(ws: Workspace) -> str:
    declared = stages.load(ws)
    if lacking := sorted({path for stage in declared.values() for path in stage.code if not (ws.root / path).exists()}):
        raise FileNotFoundError(f"{len(lacking)} files of code are missing, {lacking[0]} first")
    return f"{len(declared)} stages"


def _lock_file(ws: Workspace) -> str:
    return f"{len(_locked(ws))} stages"


def _locked(ws: Workspace) -> dict[str, str]:
    return {name: str(made["out"]) for name in stages.load(ws) if (made := lineage.locked(ws, name))}


def _cache(ws: Workspace) -> str:
    from orchestration.freshness.dvc_lock import cache_folder, uncached
    from orchestration.freshness.staleness import states

    fresh = [state.name for state in states(ws, load(ws.params_file)) if state.state == "fresh"]
    gaps = [str(gap) for name in fresh for gap in uncached(ws, name)]
    named = _locked(ws)
    gaps += [
        f"{name} of dvc.lock" for name, md5 in named.items() if not (cache_folder(ws) / md5[:2] / md5[2:]).exists()
    ]
    if gaps:
        raise AmissError(f"{len(gaps)} are not in {cache_folder(ws)}, {gaps[0]} first")
    return f"all of {len(fresh)} fresh stages, and of {len(named)} in dvc.lock"


def _dagster(ws: Workspace) -> str:
    return str((ws.root / ".dagster" / "dagster.yaml").resolve(strict=True))


def _tracking(ws: Workspace) -> str:
    import requests

    from ml.training.tracking.store import tracking_uri

    uri = tracking_uri(ws, load(ws.params_file))
    if uri.startswith("http"):
        answer = requests.get(uri, timeout=SECONDS)
        return f"{uri.rpartition('@')[2]} answers {answer.status_code}"
    if not uri.startswith("sqlite"):
        return f"{uri.partition(':')[0]}, asked when a stage is tracked"
    path = Path(uri.partition(":///")[2].partition("?")[0])
    if not path.exists():
        return f"{path}: not made yet"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as store:
        store.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return str(path)


def _disk(ws: Workspace) -> str:
    free = {}
    for name in ("data", ".dvc/cache"):
        place = next(path for path in (ws.root / name, *(ws.root / name).parents) if path.exists())
        free[name] = shutil.disk_usage(place).free
    found = ", ".join(f"{name} {number / GIGABYTE:.1f} GB" for name, number in free.items())
    if min(free.values()) < 2 * GIGABYTE:
        raise AmissError(found)
    return found


def _machine(_: Workspace) -> str:
    import torch

    memory, gpus = psutil.virtual_memory(), range(torch.cuda.device_count())
    cards = ", ".join(torch.cuda.get_device_name(number) for number in gpus) or "no GPU"
    return (
        f"{os.cpu_count()} cores, {memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB free, {cards}"
    )


def _run_lock(ws: Workspace) -> str:
    from orchestration.freshness.lock import busy

    if busy(ws):
        holder = (ws.root / ".dagster" / "run.lock").read_text(encoding="utf-8").strip()
        raise AmissError(f"process {holder[:20]} runs stages here")
    return "free"


def _leftovers(ws: Workspace) -> str:
    left = list(chain(scraps(ws.data), (ws.root / ".dvc" / "cache").rglob("*.tmp")))
    if left:
        raise AmissError(f"{len(left)} halves of files, {left[0]} first")
    return "none"


BACK = "git checkout ROOT/"
CHECKS = (
    Check("python", _python, "3.11", "make env"),
    Check("git", _git, "a commit", "git init, git commit; or git config --global --add safe.directory ROOT"),
    Check("params.yaml", _params, "allowed values", f"{BACK}params.yaml, or arrcoc params --preset toytown --write"),
    Check("dvc.yaml", _declaration, "every stage declared, with code that is there", f"{BACK}dvc.yaml"),
    Check("dvc.lock", _lock_file, "readable, or none", "git checkout --ours dvc.lock, or rm dvc.lock; then arrcoc run"),
    Check("cache", _cache, "DVC's cache holds what lies in data/ and dvc.lock names", "arrcoc run, or dvc pull"),
    Check("dagster", _dagster, "its configuration", f"{BACK}.dagster/dagster.yaml"),
    Check("tracking", _tracking, "a usable store", "move the file away, start the server or set tracking.uri"),
    Check("disk", _disk, "2 GB free", "make room"),
    Check("machine", _machine, "cores, memory and, for real models, a GPU", ""),
    Check("run lock", _run_lock, "free", "wait for that run to end"),
    Check("leftovers", _leftovers, "none", "arrcoc run, which removes them"),
)
