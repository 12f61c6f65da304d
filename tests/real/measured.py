"""A command with what it took: wall time, and the most memory that it and all it starts hold at once."""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

EVERY = 0.2  # seconds between two looks


class Took(NamedTuple):
    """What a command took. `peak`: bytes, shared pages counted once."""

    code: int
    said: str
    seconds: float
    peak: int


def run(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Took:
    """Run a command to its end."""
    began, peak, done = time.monotonic(), [0], threading.Event()
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def look() -> None:
        while not done.wait(EVERY):
            peak[0] = max(peak[0], _held(process.pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    said, _ = process.communicate()
    done.set()
    watcher.join()
    return Took(process.returncode, said, time.monotonic() - began, peak[0])


def _held(pid: int) -> int:
    """Bytes that a process and its descendants hold now, each page divided among those that share it."""
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in tree:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total
