"""The scores of the last evaluation, and the runs they come from."""

import json
import sys
from typing import Any

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, stages

TRACKED = (
    "mask_region_alignment",
    "text_region_grounding",
    "relevance_learning",
    "multimodal_finetuning",
    "benchmark_scores",
    "compressed_model",
    "released_model",
)


def scores(ws: Workspace) -> dict[str, Any]:
    """What `benchmark_scores` wrote: {"scores": {benchmark: {metric: value}}, "milestones": [...], ...}.

    Raises:
        UserError: there are no scores yet.
    """
    path = ws.stage("benchmark_scores") / "scores.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no scores yet; run arrcoc run") from error
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON; run arrcoc run --select benchmark_scores") from error


def gate_failed(ws: Workspace) -> bool:
    """Whether the last release was held back; False where none was tried."""
    path = ws.stage("released_model") / "release.json"
    return path.is_file() and not json.loads(path.read_text(encoding="utf-8"))["released"]


def report(ws: Workspace, params: Params) -> dict[str, Any]:
    """The object that `arrcoc report --json` prints."""
    found = scores(ws)
    known = [name for name in stages.load(ws) if name in TRACKED]
    return {"scores": found["scores"], "milestones": found["milestones"], "run_ids": _run_ids(ws, params, known)}


def _run_ids(ws: Workspace, params: Params, names: list[str]) -> dict[str, str]:
    """The run that made each stage's output; where the store is away, as noted here when the run ended."""
    from ml.training.tracking import store

    try:
        found = {name: store.run_id(ws, params, name) for name in names}
    except UserError as error:
        print(f"arrcoc: {error}; the runs below are those noted in data/.keys/runs", file=sys.stderr)
        found = {name: store.maker(ws, name).get("run_id") for name in names}
    return {name: run for name, run in found.items() if run}
