"""What it costs to know that nothing is stale, and to mend one shard of a thousand: arrcoc against DVC.

The shards are real but small, one image each: the first is made by the stages themselves, the others are copies of it
under other names, with keys that say so. A shard that is then lost is drawn anew, with other bytes than the copy had.
What lies below the training set has no shards and is a placeholder.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, NamedTuple

import yaml

from ml.bench.measure import Row, result, times
from ml.errors import UserError
from ml.sa1b import sharding
from ml.sa1b.sharding import Recipe
from ml.workspace import Workspace, keys, stages
from ml.workspace.settings import load, preset
from ml.workspace.snapshot import Snapshot

SHARDS = 1000
REPEATS = 3
CHECKOUT = ("ml", "orchestration", "dvc.yaml", ".dvcignore", ".dvc/config", ".dagster/dagster.yaml", "mlflow/README.md")
LAST = "training_set"
STATUS = ("arrcoc", "status", "--json")
RUN = ("arrcoc", "run", "--json")
RUN_SHARDS = (*RUN, "--select", f"+{LAST}")
DVC_REPRO = ("dvc", "repro", "-q", LAST)
DVC_STATUS = ("dvc", "status", "--json")
EMPTY = "import dagster as dg\n\n\n@dg.asset\ndef one(): ...\n\n\ndefs = dg.Definitions([one])\n"


class Cost(NamedTuple):
    """What a command took: wall time, and the memory of its process at its most."""

    seconds: float
    megabytes: float


def bench() -> dict[str, Any]:
    """Measure on a workspace of a thousand shards; wall time, in turns with the peer.

    Raises:
        UserError: a command fails.
    """
    with TemporaryDirectory() as folder:
        ws = workspace(Path(folder) / "town", Workspace.find(), SHARDS)
        _say("Dagster is told")
        do(ws, *RUN)
        return result("freshness", [*nothing_stale(ws, SHARDS), one_lost(ws, SHARDS)])


def workspace(root: Path, origin: Workspace, count: int) -> Workspace:
    """A copy of a checkout in which `count` shards are made and known to DVC."""
    for name in CHECKOUT:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (origin.root / name).is_dir() else shutil.copy2
        copy(origin.root / name, root / name)
    ws = Workspace(root)
    do(ws, "git", "init", "-q")
    _write_params(ws, 1)
    _say("one shard, made by the stages")
    do(ws, *RUN_SHARDS)
    _write_params(ws, count)
    _say(f"{count - 1} copies of it")
    _multiply(ws)
    do(ws, "arrcoc", "stage", LAST)
    _pretend(ws)
    do(ws, "dvc", "commit", "-f", "-q")
    return ws


def nothing_stale(ws: Workspace, count: int) -> Iterator[Row]:
    """What it takes to find that there is nothing to do."""
    empty = ws.root.parent / "empty.py"
    empty.write_text(EMPTY, encoding="utf-8")
    start = ("dagster", "asset", "list", "-f", str(empty))
    _say("nothing stale")
    status, run, dvc, dagster = (cost.seconds for cost in least(ws, STATUS, RUN, DVC_STATUS, start))
    case = f"{count} shards, nothing stale"
    yield times(f"{case}: arrcoc status", status, dvc, "dvc status", "s")
    yield times(f"{case}: arrcoc run", run, dvc, "dvc status", "s")
    yield times(f"{case}: arrcoc run", run, dagster, "Dagster's own start, with one empty asset", "s")


def one_lost(ws: Workspace, count: int) -> Row:
    """A shard's tar is lost and run again; for `dvc repro`, which calls the same stages, another one."""
    _say("one shard lost")
    turns = [(_lose(ws, count // 2 + i, RUN_SHARDS), _lose(ws, count // 3 + i, DVC_REPRO)) for i in range(REPEATS)]
    ours, peer = (min(seconds for seconds, _ in taken) for taken in zip(*turns, strict=True))
    made = turns[0][0][1]
    return times(f"{count} shards, one lost, {' and '.join(made)} made again: arrcoc run", ours, peer, "dvc repro", "s")


def _write_params(ws: Workspace, count: int) -> None:
    raw = preset("smoke").model_dump(mode="json")
    raw["shards"] |= {"count": count}
    raw["toytown"] |= {"images_per_shard": 1}
    ws.params_file.write_text(yaml.safe_dump(raw), encoding="utf-8")


def _multiply(ws: Workspace) -> None:
    """Copy the first shard's files of every stage to all others, each with the key of what it would be made from."""
    params = load(ws.params_file)
    for name in (name for name, stage in stages.load(ws).items() if stage.per == "shard"):
        recipe, at = Recipe.of(name, ws, params), Snapshot(ws)
        first, *others = sharding.partitions(name, ws, params)
        for shard in others:
            outputs = recipe.outputs(shard)
            for source, out in zip(recipe.outputs(first), outputs, strict=True):
                shutil.copyfile(source, out)
            keys.record(ws, name, shard, recipe.key(shard, at.md5), at.md5s(outputs))


def _pretend(ws: Workspace) -> None:
    for name in stages.load(ws):
        if not ws.stage(name).exists():
            ws.stage(name).mkdir()
            (ws.stage(name) / "placeholder").write_text(name, encoding="utf-8")


def _lose(ws: Workspace, number: int, command: tuple[str, ...]) -> tuple[float, list[str]]:
    """Remove a shard's tar and run a command; the seconds, and the shards and groups that were written."""
    ws.shard_file("sa1b_shards", f"sa_{number:06d}", ".tar").unlink()
    before = _written(ws)
    seconds = do(ws, *command).seconds
    names = {path.name.partition(".")[0] for path, time_ns in _written(ws).items() if before.get(path) != time_ns}
    return seconds, sorted(names, reverse=True)


def _written(ws: Workspace) -> dict[Path, int]:
    """When each file of the stages with shards was written, in nanoseconds."""
    folders = [ws.stage(name) for name, stage in stages.load(ws).items() if stage.per]
    return {file: file.stat().st_mtime_ns for folder in folders for file in stages.files_below(folder)}


def least(ws: Workspace, *commands: tuple[str, ...]) -> list[Cost]:
    """The least of what each command took, in turns, so that what else runs on the machine meets all of them."""
    rounds = [[do(ws, *command) for command in commands] for _ in range(REPEATS)]
    return [Cost(*map(min, zip(*taken, strict=True))) for taken in zip(*rounds, strict=True)]


def do(ws: Workspace, *command: str) -> Cost:
    """Run a command in the workspace, with the workspace's own code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PYTHONPATH": str(ws.root), "PATH": path, "DAGSTER_HOME": str(ws.root / ".dagster")}
    with TemporaryFile("w+", encoding="utf-8") as said:
        begin = time.monotonic()
        run = subprocess.Popen(command, cwd=ws.root, env=env, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        if run.returncode:
            said.seek(0)
            raise UserError(f"{' '.join(command)} failed: {said.read().strip()[-500:]}")
    return Cost(seconds, used.ru_maxrss / 1024)


def _say(words: str) -> None:
    print(f"bench freshness: {words}", file=sys.stderr)
