"""`arrcoc sync`: the runs that the tracking store has yet to be told of."""

from typing import Any

from ml.params import Params
from ml.training.tracking import journal, sending
from ml.workspace import Workspace


def sync(ws: Workspace, params: Params) -> dict[str, Any]:
    """The object that `arrcoc sync --json` prints: {"sent": [...], "refused": [...], "running": [stage, ...]}.

    Raises:
        UserError: the tracking store cannot be used.
    """
    found = sending.send_pending(sending.Place.open(ws, params)) if journal.pending(ws) else []
    sent = [{"stage": run.stage, "run_id": run.run_id} for run in found if not run.refused]
    refused = [{"stage": run.stage, "journal": run.journal, "why": run.refused} for run in found if run.refused]
    running = [kept.run["stage"] for kept in journal.journals(ws) if not journal.is_over(kept)]
    return {"sent": sent, "refused": refused, "running": running}


def page(found: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [f"{run['stage']}: sent as MLflow run {run['run_id']}" for run in found["sent"]]
    lines += [
        f"{run['stage']}: refused ({run['why']}); if it is not wanted, rm -r data/.keys/journal/{run['journal']}"
        for run in found["refused"]
    ]
    lines += [f"{stage}: still running" for stage in found["running"]]
    return "\n".join(lines) or "Nothing is pending."
