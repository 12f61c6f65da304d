"""Runs of `arrcoc` in a copy of the checkout that are killed on the way, and what they must not leave behind."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import yaml

ENDS_SECONDS = 20.0  # within which what a killed run started must have ended by itself
RANK = "ml.training.main"  # in the command of a training process


def start(checkout, *arguments: str) -> subprocess.Popen[str]:
    """`arrcoc run --json` in a process group of its own; what it says goes to a file elsewhere than on its disk."""
    env = os.environ | {"PYTHONPATH": str(checkout.root), "DAGSTER_HOME": str(checkout.root / ".dagster")}
    log = log_of(checkout).open("w")
    command = [str(Path(sys.executable).parent / "arrcoc"), "run", "--json", *arguments]
    return subprocess.Popen(
        command, cwd=checkout.root, env=env, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
    )


def said(checkout) -> str:
    """What the last run said on stderr."""
    return log_of(checkout).read_text()


def log_of(checkout) -> Path:
    name = hashlib.md5(str(checkout.root).encode()).hexdigest()
    return Path(tempfile.gettempdir()) / f"arrcoc_disturbed_{name}.log"


def kill(run: subprocess.Popen[str], kind: str) -> bool:
    """Kill the group, the parent alone, or one training process; False where there is none such."""
    if run.poll() is not None:
        return False
    if kind == "group":
        os.killpg(run.pid, signal.SIGKILL)
    elif kind == "parent":
        os.kill(run.pid, signal.SIGKILL)
    else:
        ranks = [child for child in psutil.Process(run.pid).children(recursive=True) if RANK in command_of(child)]
        if not ranks:
            return False
        ranks[-1].kill()
    run.wait(120)
    return True


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def processes(root: Path) -> Iterator[psutil.Process]:
    """Those that work in a folder."""
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(root):
                yield process
        except psutil.Error:
            continue


def left_running(root: Path) -> list[str]:
    """The commands of processes that do not end by themselves in time."""
    deadline = time.monotonic() + ENDS_SECONDS
    while (found := list(processes(root))) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [command_of(process) for process in found]


def tracked(root: Path) -> dict[str, str]:
    """The md5 of every file of the stages' outputs."""
    files = {path.relative_to(root).as_posix(): path for path in (root / "data").rglob("*") if path.is_file()}
    seen = {name: path for name, path in files.items() if not any(part.startswith(".") for part in name.split("/"))}
    return {name: hashlib.md5(path.read_bytes()).hexdigest() for name, path in seen.items()}


def untruthful(checkout, reference: dict[str, str]) -> list[str]:
    """The stages that status calls fresh though their bytes are not those of an undisturbed run."""
    folders = {"sa1b_shards": "data/shards/"}
    stages = checkout.json("arrcoc", "status", "--json")["stages"]
    fresh = [stage["name"] for stage in stages if stage["state"] == "fresh"]
    found = tracked(checkout.root)
    return [
        name
        for name in fresh
        for start in [folders.get(name, f"data/{name}/")]
        if {k: v for k, v in found.items() if k.startswith(start)}
        != {k: v for k, v in reference.items() if k.startswith(start)}
    ]


def left_behind(root: Path) -> list[str]:
    """Scraps, locks, and runs that Dagster or MLflow still takes for running."""
    scraps = [path for place in ("data", ".dvc/cache") for path in (root / place).rglob("*.tmp")]
    scraps += [path for path in (root / "data" / ".resume").glob("*") if path.is_dir() and any(path.iterdir())]
    rwlock = root / ".dvc" / "tmp" / "rwlock"
    entries = json.loads(rwlock.read_text()) if rwlock.is_file() else {}
    held = [f"rwlock {what}" for what in ("read", "write") if entries.get(what)]
    return [*map(str, scraps), *held, *running_in_mlflow(root), *running_in_dagster(root)]


def running_in_mlflow(root: Path) -> list[str]:
    import sqlite3

    with closing(sqlite3.connect(root / "mlflow" / "mlflow.db")) as store:
        return [f"MLflow run {run}" for (run,) in store.execute("select run_uuid from runs where status = 'RUNNING'")]


def running_in_dagster(root: Path) -> list[str]:
    import dagster as dg

    from orchestration.instance.ghosts import IN_PROGRESS

    with dg.DagsterInstance.from_config(str(root / ".dagster")) as instance:
        return [f"Dagster run {run.run_id}" for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))]


def not_in_cache(root: Path) -> list[str]:
    """What `dvc.lock` names and DVC's cache does not hold, members of folders included."""
    lock, cache = yaml.safe_load((root / "dvc.lock").read_text()), root / ".dvc" / "cache" / "files" / "md5"
    lacking = []
    for name, stage in lock["stages"].items():
        for out in stage["outs"]:
            listed = cache / out["md5"][:2] / out["md5"][2:]
            members = json.loads(listed.read_text()) if listed.is_file() else [{"md5": out["md5"], "relpath": ""}]
            lacking += [
                f"{name}: {member['relpath']}"
                for member in members
                if not (cache / member["md5"][:2] / member["md5"][2:]).is_file()
            ]
    return lacking
