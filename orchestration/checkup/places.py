"""The workspace: its commit, params, declaration and lock, DVC's cache, Dagster, the tracking store, the benchmarks."""

import json
import subprocess
from pathlib import Path

import ml
from ml.errors import UserError
from ml.workspace import Workspace, lineage, stages
from ml.workspace.settings import load
from ml.workspace.snapshot import Snapshot
from orchestration.checkup.finding import AmissError

TOYTOWN = "toytown"


def git(ws: Workspace) -> str:
    """Its commit."""
    command = ["git", "-C", str(ws.root), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise AmissError(done.stderr)
    return f"commit {done.stdout.strip()}"


def params(ws: Workspace) -> str:
    """That they are valid."""
    return f"seed {load(ws.params_file).seed}"


def registry(ws: Workspace) -> str:
    """The name and the alias that the model will be registered under: MLflow would refuse them in the last stage."""
    release = load(ws.params_file).release
    return f"{release.model_name}@{release.alias}"


def declaration(ws: Workspace) -> str:
    """How many stages there are, with their code."""
    declared = stages.load(ws)
    if lacking := sorted({path for stage in declared.values() for path in stage.code if not (ws.root / path).exists()}):
        raise FileNotFoundError(f"{len(lacking)} files of code are missing, {lacking[0]} first")
    return f"{len(declared)} stages"


def code(ws: Workspace) -> str:
    """Where the code lies that runs: a checkout that was copied with its environment has that of the original."""
    root = Path(ml.__file__).parents[1]
    if root.samefile(ws.root):
        return "that of this checkout"
    declared = sorted({path for stage in stages.load(ws).values() for path in stage.code})
    files = [file for path in declared for file in stages.files_below(ws.root / path)]
    others = [file for file in files if not _alike(file, root / file.relative_to(ws.root))]
    if others:
        raise AmissError(f"that of {root}, where {len(others)} files are others than here, {others[0].name} first")
    return f"that of {root}, which is the same"


def lock_file(ws: Workspace) -> str:
    """How many stages it knows."""
    return f"{len(_locked(ws))} stages"


def cache(ws: Workspace) -> str:
    """Whether it holds what fresh stages have made, and every output of `dvc.lock` with its members."""
    from orchestration.freshness.dvc_lock import cache_folder, uncached
    from orchestration.freshness.staleness import states

    at = Snapshot(ws)
    fresh = [state.name for state in states(ws, load(ws.params_file), at) if state.state == "fresh"]
    gaps = [str(gap) for name in fresh for gap in uncached(at, name)]
    named = _locked(ws)
    gaps += [f"{name} of dvc.lock" for name, md5 in named.items() if not _kept(cache_folder(ws), md5)]
    if gaps:
        raise AmissError(f"{len(gaps)} are not in {cache_folder(ws)}, {gaps[0]} first")
    return f"all of {len(fresh)} fresh stages, and of {len(named)} in dvc.lock"


def dagster(ws: Workspace) -> str:
    """Where its configuration lies; a store that this names is opened."""
    from orchestration.instance.store import is_elsewhere

    config = ws.root / ".dagster" / "dagster.yaml"
    if not config.is_file():
        raise FileNotFoundError(f"no {config}; git checkout {config}")
    if not is_elsewhere(config.parent):
        return str(config)
    from orchestration.instance.opened import instance

    with instance(ws):
        return f"{config}, whose store answers"


def tracking(ws: Workspace) -> str:
    """The store; a server that is away is no reason not to begin, since what it does not take waits for it."""
    from ml.training.tracking import reach, store

    uri, experiment = store.tracking_uri(ws, load(ws.params_file)), load(ws.params_file).tracking.experiment
    reach.require_active(uri, experiment)
    try:
        reach.probe(uri)
    except UserError as error:
        if not uri.startswith("http"):
            raise
        raise AmissError(str(error)) from error
    return f"{reach.shown(uri)}, experiment {experiment!r}"


def benchmarks(ws: Workspace) -> str:
    """Which there are, as far as their folders and the last index tell."""
    named = {name: source for name, source in load(ws.params_file).benchmarks.model_dump().items() if source}
    for name, source in named.items():
        if source != TOYTOWN and not (ws.root / source).is_dir():
            raise FileNotFoundError(f"benchmarks.{name}: no folder {ws.root / source}")
    try:
        sets = json.loads((ws.stage("benchmark_data") / "sets.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not indexed yet
        return f"{', '.join(named)}; not indexed yet"
    lacking = [
        f"{name}/{split}" for name, splits in sets.items() for split, row in splits.items() if not row["complete"]
    ]
    if lacking:
        raise AmissError(f"{len(lacking)} splits are not complete and are scored as partial: {', '.join(lacking)}")
    return ", ".join(named)


def _alike(file: Path, other: Path) -> bool:
    return other.is_file() and file.read_bytes() == other.read_bytes()


def _locked(ws: Workspace) -> dict[str, str]:
    return {name: str(made["out"]) for name in stages.load(ws) if (made := lineage.locked(ws, name))}


def _kept(folder: Path, md5: str) -> bool:
    """Whether the cache holds an output, of a folder all members too."""
    path = folder / md5[:2] / md5[2:]
    if not path.is_file() or not md5.endswith(".dir"):
        return path.is_file()
    members = {entry["md5"] for entry in json.loads(path.read_text(encoding="utf-8"))}
    return all((folder / member[:2] / member[2:]).is_file() for member in members)
