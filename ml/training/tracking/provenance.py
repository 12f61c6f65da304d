"""What a run was made from: git's commit and how the work tree differs, the params of its line, its Dagster run."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ml.params import Params
from ml.workspace import Workspace, lineage, stages
from ml.workspace.keys import file_md5

DAGSTER_RUN = "ARRCOC_DAGSTER_RUN"  # names the Dagster run that a stage belongs to, to it and to its processes
DAGSTER_PAGE = "http://127.0.0.1:3000"  # where `arrcoc ui` serves it
UNTRACKED_CODE = ("*.py", "*.yaml")  # files that git does not know and that go into the diff of a dirty work tree


def dagster() -> dict[str, str]:
    """Tags that name the Dagster run that this process works for; {} where there is none."""
    if not (run := os.environ.get(DAGSTER_RUN)):
        return {}
    return {"dagster_run_id": run, "mlflow.note.content": f"[Dagster run {run[:8]}]({DAGSTER_PAGE}/runs/{run})"}


def made_from(ws: Workspace, params: Params, stage: stages.Stage) -> lineage.Made:
    """The code, params and data that a stage reads, as they are now."""
    deps = {path: lineage.data_version(ws, ws.root / path) for path in (*stage.code, *stage.data)}
    return {"deps": deps, "params": stage.param_values(params), "files": stage.code_files(ws)}


def knobs(ws: Workspace, params: Params, stage: str) -> dict[str, str]:
    """The params that a stage and all above it are made with: {"filtered_masks.filter.predicted_iou": "0.88", ...}.

    Each is there once, under the first stage that reads it, so that two runs differ in one line where one knob moved;
    again under a later stage only where that one read another value, since what lies above was not made anew.
    """
    declared = stages.load(ws)
    knobs: dict[str, str] = {}
    values: dict[str, str] = {}
    made = lineage.above(ws, declared[stage].upstream)
    for name in stages.above(declared, [stage]):
        read = _flatten(made[name]["params"] if name in made else declared[name].param_values(params))
        moved = {key: value for key, value in read.items() if values.get(key) != value}
        knobs |= {f"{name}.{key.removeprefix(f'{name}.')}": value for key, value in moved.items()}
        values |= moved
    return knobs


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def commit(ws: Workspace) -> dict[str, str]:
    """Git commit, whether the tree differs from it, and the md5 of dvc.lock, where there are such."""
    tags = {}
    if commit := _git(ws, "rev-parse", "HEAD"):
        tags = {"git_commit": commit, "mlflow.source.git.commit": commit}
        tags["git_dirty"] = str(bool(_git(ws, "status", "--porcelain", "--", ".", ":!dvc.lock"))).lower()
    if (lock := ws.root / "dvc.lock").is_file():
        tags["dvc_lock_md5"] = file_md5(lock)
    return tags


def diff(ws: Workspace) -> str:
    """How the work tree differs from the commit: a patch, code that git does not know yet included."""
    added = _git(ws, "ls-files", "--others", "--exclude-standard", "--", *UNTRACKED_CODE).splitlines()
    news = [_git(ws, "diff", "--no-index", "--", os.devnull, name, codes=(0, 1)) for name in added]
    return "\n".join(filter(None, [_git(ws, "diff", "HEAD", "--", ".", ":!dvc.lock"), *news]))


def _git(ws: Workspace, *arguments: str, codes: Sequence[int] = (0,)) -> str:
    try:
        # A diff may hold files of any encoding.
        done = subprocess.run(
            ["git", *arguments], cwd=ws.root, capture_output=True, text=True, errors="replace", timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here: the run simply has no commit
        return ""
    return done.stdout.strip() if done.returncode in codes else ""
