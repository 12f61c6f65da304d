"""The machine: Python and its packages, devices, disk, memory, clock."""

import shutil
import sys
import time
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration.checkup.finding import AmissError
from orchestration.checkup.needs import GIGABYTE, memory_needed, to_be_written

SHOWN = 3  # packages named
LEAST = 2 * GIGABYTE  # of disk, whatever is known of the params
SLACK = 60.0  # seconds that two clocks may differ
SECONDS = 3.0  # that a server has to answer


def python(_: Workspace) -> str:
    """Its version."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != (3, 11):
        raise RuntimeError(found)
    return found


def packages(ws: Workspace) -> str:
    """Whether those that are installed are those of the lock."""
    lines = (ws.root / "requirements.lock").read_text(encoding="utf-8").split()
    locked = dict(line.split("==", 1) for line in lines if "==" in line)
    others = [name for name, wanted in locked.items() if _installed(name) != wanted]
    if others:
        named = ", ".join(f"{name} {_installed(name)} (locked: {locked[name]})" for name in others[:SHOWN])
        raise AmissError(f"{len(others)} of {len(locked)} are not as locked: {named}")
    return f"all {len(locked)}"


def devices(ws: Workspace) -> str:
    """GPUs by name, or that there are none."""
    import torch

    params, count = load(ws.params_file), torch.cuda.device_count()
    here = params.training.launcher == "deepspeed" and params.training.hostfile is None
    if here and count and params.training.processes > count:
        raise RuntimeError(
            f"{count} GPUs for {params.training.processes} processes; set training.processes to {count} or fewer"
        )
    if not count and params.backbones.sam.model_type != "tiny":
        sam = params.backbones.sam.model_type
        raise AmissError(f"no GPU, {sam} on {psutil.cpu_count()} cores takes days; use a machine with GPUs")
    cards = ", ".join(torch.cuda.get_device_name(number) for number in range(count))
    return cards or f"no GPU, {psutil.cpu_count()} cores"


def processes(ws: Workspace) -> str:
    """Where those of training will run: Slurm's nodes, hosts that answer, or devices of this machine."""
    from ml.training.launchers import here, hosts, slurm

    params = load(ws.params_file)
    training = params.training
    if training.launcher == "slurm":
        slurm.require()
        return f"{training.processes} as a Slurm job"
    if training.hostfile is not None:
        file = ws.root / training.hostfile
        hosts.require(hosts.read(file, training.processes), ws, file)
        return f"{training.processes} by {training.hostfile}"
    here.devices(training.processes)
    return f"{training.processes} here"


def deepspeed(_: Workspace) -> str:
    """Its version, and what its processes talk through."""
    from torch import distributed

    from ml.training.engine.accelerator import import_deepspeed

    import_deepspeed()
    talk = [name for name in ("nccl", "gloo") if getattr(distributed, f"is_{name}_available")()]
    if not talk:
        raise RuntimeError("torch has neither nccl nor gloo")
    return f"{version('deepspeed')}, {' and '.join(talk)}"


def disk(ws: Workspace) -> str:
    """What is free where data and DVC's cache lie, against what is yet to be written into each."""
    folders = {name: _there(ws.root / name) for name in ("data", ".dvc/cache")}
    free = {name: shutil.disk_usage(folder).free for name, folder in folders.items()}
    coming = to_be_written(ws, load(ws.params_file))
    found = ", ".join(f"{name} {number / GIGABYTE:.1f} GB free" for name, number in free.items())
    found += "" if coming is None else f", about {coming / GIGABYTE:.1f} GB to come in each"
    shared = len({folder.stat().st_dev for folder in folders.values()}) == 1
    if min(free.values()) < max(LEAST, (coming or 0) * (1 + shared)):
        raise AmissError(found)
    return found


def memory(ws: Workspace) -> str:
    """What is free, against what the processes of the hungriest stage take."""
    now, wanted = psutil.virtual_memory(), memory_needed(load(ws.params_file))
    found = (
        f"{now.available / GIGABYTE:.1f} of {now.total / GIGABYTE:.1f} GB free, about {wanted / GIGABYTE:.1f} wanted"
    )
    if now.available < wanted:
        raise AmissError(found)
    return found


def clock(ws: Workspace) -> str:
    """Whether it agrees with files that are there already, and with a tracking server."""
    now = time.time()
    names = ("params.yaml", "dvc.yaml", "dvc.lock", "data", ".git/HEAD", ".git/index")
    for path in (ws.root / name for name in names):
        if path.exists() and (ahead := path.stat().st_mtime - now) > SLACK:
            raise AmissError(f"{time.ctime(now)}, {ahead:.0f} s behind {path}")
    uri = load(ws.params_file).tracking.uri or ""
    if uri.startswith("http") and (there := _date(uri)) and abs(there - now) > SLACK:
        raise AmissError(f"{time.ctime(now)}, {abs(there - now):.0f} s from the tracking server's")
    return time.ctime(now)


def _there(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def _date(uri: str) -> float | None:
    import requests

    try:
        return parsedate_to_datetime(requests.head(uri, timeout=SECONDS).headers["Date"]).timestamp()
    except (OSError, KeyError, ValueError):  # away, which another check tells; or it does not say
        return None


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is missing"
