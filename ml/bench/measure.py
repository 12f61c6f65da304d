"""Times and rates of ours and of a peer, side by side."""

import os
import platform
import time
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The least processor time of a few calls, after one that warms up; what else runs on the machine counts little."""
    work()
    return min(_timed(work) for _ in range(repeats))


def in_turns(ours: Callable[[], object], peer: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """As `seconds`, of two that take turns: what else runs on the machine then meets both."""
    ours(), peer()
    pairs = [(_timed(ours), _timed(peer)) for _ in range(repeats)]
    return min(mine for mine, _ in pairs), min(other for _, other in pairs)


def times(case: str, ours: float, peer: float, peer_name: str, unit: str) -> Row:
    """A row of two times, less is better; `ratio`: how many times faster ours is."""
    return _row(case, ours, peer, peer_name, unit, peer / ours)


def rates(case: str, ours: float, peer: float, peer_name: str, unit: str) -> Row:
    """A row of two rates, more is better; `ratio`: how many times faster ours is."""
    return _row(case, ours, peer, peer_name, unit, ours / peer)


def shares(case: str, ours: int, peer: int, of: int, peer_name: str) -> Row:
    """A row of two counts as percent of what they are counted of; where the peer has none, `ratio` is None."""
    percent = 100 / max(of, 1)
    row = _row(case, percent * ours, percent * peer, peer_name, "%", ours / max(peer, 1))
    return row if peer else row | {"ratio": None}


def result(name: str, rows: list[Row]) -> dict[str, Any]:
    """What `arrcoc bench NAME --json` prints."""
    return {"name": name, "machine": machine(), "rows": rows}


def machine() -> str:
    """The processor, its cores, and how busy they were."""
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{_processor()}, {os.cpu_count()} cores{busy}, Python {platform.python_version()}"


def _row(case: str, ours: float, peer: float, peer_name: str, unit: str, ratio: float) -> Row:
    rounded = (float(f"{value:.4g}") for value in (ours, peer, ratio))
    return {"case": case, **dict(zip(("ours", "peer", "ratio"), rounded, strict=True)), "peer_name": peer_name} | {
        "unit": unit
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _timed(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin
