"""Ten times the shards of SA-1B: what it takes to know that nothing is stale, in time and memory, beside DVC.

The workspaces are those of `freshness`, but that Dagster is not told of them: fifty thousand events would take longer
than all else. That it was is only noted; a run with nothing to do asks no more.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ml.bench.freshness import DVC_STATUS, RUN, STATUS, Cost, do, least, workspace
from ml.bench.measure import Row, result, times
from ml.workspace import Workspace

COUNTS = (1_000, 10_000)
NOTE = """
from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration.freshness.staleness import states
from orchestration.freshness.told import note
ws = Workspace.find()
for state in states(ws, load(ws.params_file)):
    note(ws, state.name, state.version)
"""
COMMANDS = {"arrcoc status": STATUS, "arrcoc run": RUN, "dvc status": DVC_STATUS}


def bench() -> dict[str, Any]:
    """Measure with a thousand shards, then with ten thousand.

    Raises:
        UserError: a command fails.
    """
    few, many = (_costs(count) for count in COUNTS)
    rows = [row for command in list(COMMANDS)[:2] for row in _beside_dvc(command, many)]
    return result("shards", rows + [_beside_few(command, few, many) for command in COMMANDS])


def _costs(count: int) -> dict[str, Cost]:
    """What each command takes where nothing is stale."""
    with TemporaryDirectory() as folder:
        ws = workspace(Path(folder) / "town", Workspace.find(), count)
        do(ws, sys.executable, "-c", NOTE)
        return dict(zip(COMMANDS, least(ws, *COMMANDS.values()), strict=True))


def _beside_dvc(command: str, costs: dict[str, Cost]) -> list[Row]:
    case, (ours, peer) = f"{COUNTS[1]} shards: {command}", (costs[command], costs["dvc status"])
    return [
        times(case, ours.seconds, peer.seconds, "dvc status", "s"),
        times(f"{case}, memory", ours.megabytes, peer.megabytes, "dvc status", "MB"),
    ]


def _beside_few(command: str, few: dict[str, Cost], many: dict[str, Cost]) -> Row:
    """Linear, or less than that, is a ratio of at least 1."""
    times_more = COUNTS[1] // COUNTS[0]
    peer = f"{times_more} times that of {COUNTS[0]} shards"
    return times(f"{COUNTS[1]} shards: {command}", many[command].seconds, times_more * few[command].seconds, peer, "s")
