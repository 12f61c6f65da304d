"""What a run was made from: git's commit and how the work tree differs, the params of its line, its Dagster run."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml.params import Params
from ml.training.tracking import browse
from ml.training.tracking.journal import NOTE
from ml.workspace import Workspace, lineage, stages
from ml.workspace.keys import file_md5

DAGSTER_RUN = "ARRCOC_DAGSTER_RUN"  # names the Dagster run that a stage belongs to, to it and to its processes
DAGSTER_PAGE = "ARRCOC_DAGSTER_PAGE"  # names its address, where `arrcoc ui` serves it
GIT_SECONDS = 20
UNTRACKED_CODE = ("*.py", "*.yaml")  # files that git does not know and that go into the diff of a dirty work tree


def pages(stage: str) -> dict[str, str]:
    """Tags that lead from a stage's run to where else it is shown: its Dagster run, and its data or answers.

    Its description links to those of them that are served.
    """
    tags, links = browse.told(stage), []
    if run := os.environ.get(DAGSTER_RUN):
        page = os.environ.get(DAGSTER_PAGE)
        tags["dagster_run_id"] = run
        links.append(f"[Dagster run {run[:8]}]({page}/runs/{run})" if page else f"Dagster run {run}")
    if shown := browse.address(stage):
        links.append(f"[Browse]({shown})")
    return tags | {NOTE: ", ".join(links)} if links else tags


def made_from(ws: Workspace, params: Params, stage: stages.Stage) -> lineage.Made:
    """The code, params and data that a stage reads, as they are now."""
    return {
        "deps": lineage.deps(ws, stage, params),
        "params": stage.param_values(params),
        "files": lineage.code_files(ws, stage),
    }


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
    """Git commit, whether the tree differs from it, and the md5 of dvc.lock, where there are such.

    `git_warning` says why there is no commit though git keeps this checkout, and the way out.
    """
    tags, head = {}, _git(ws, "rev-parse", "--verify", "HEAD")
    if head.text:
        tags = {"git_commit": head.text, "mlflow.source.git.commit": head.text}
        changes = _git(ws, "status", "--porcelain", "--", ".", ":!dvc.lock")
        if not changes.trouble:
            tags["git_dirty"] = str(bool(changes.text)).lower()
        head = changes
    if head.trouble and any((folder / ".git").exists() for folder in (ws.root, *ws.root.parents)):
        tags["git_warning"] = _warning(ws, head.trouble, "git_commit" not in tags)
    if (lock := ws.root / "dvc.lock").is_file():
        tags["dvc_lock_md5"] = file_md5(lock)
    return tags


def _warning(ws: Workspace, trouble: str, unknown: bool) -> str:
    """One line: what git said, what the run lacks, and the way out."""
    lacks = "commit" if unknown else "word on changes"
    way_out = f"git -C {ws.root} status shows it"
    if "dubious ownership" in trouble or "safe.directory" in trouble:
        trouble, way_out = "dubious ownership", f"git config --global --add safe.directory {ws.root}"
    elif "HEAD" in trouble or "single revision" in trouble:
        trouble, way_out = "no commit yet", "git commit"
    return f"git: {trouble[:80]}; the run records no {lacks}: {way_out}"


def diff(ws: Workspace) -> str:
    """How the work tree differs from the commit: a patch, code that git does not know yet included."""
    added = _git(ws, "ls-files", "--others", "--exclude-standard", "--", *UNTRACKED_CODE).text.splitlines()
    news = [_git(ws, "diff", "--no-index", "--", os.devnull, name, codes=(0, 1)).text for name in added]
    return "\n".join(filter(None, [_git(ws, "diff", "HEAD", "--", ".", ":!dvc.lock").text, *news]))


class _Answer(NamedTuple):
    """What git printed, or why it did not."""

    text: str
    trouble: str = ""


def _git(ws: Workspace, *arguments: str, codes: Sequence[int] = (0,)) -> _Answer:
    try:
        # A diff may hold files of any encoding.
        done = subprocess.run(
            ["git", *arguments], cwd=ws.root, capture_output=True, text=True, errors="replace", timeout=GIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _Answer("", " ".join(str(error).split()))
    if done.returncode in codes:
        return _Answer(done.stdout.strip())
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return _Answer("", said[0].removeprefix("fatal: "))
