"""What a run did; and the run that has nothing to do, for which neither Dagster nor DVC is started."""

from dataclasses import dataclass, field
from typing import Any

from ml.params import Params
from ml.workspace import Workspace
from orchestration.freshness.lock import exclusive
from orchestration.freshness.staleness import is_told, states


@dataclass
class Outcome:
    """What a run did."""

    materialized: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)  # not run, since a stage above failed
    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    crashed: bool = False  # a failure that no input explains
    interrupted: bool = False  # by Ctrl-C or a signal; the next run goes on from here

    def to_json(self) -> dict[str, Any]:
        """The object that `arrcoc run --json` prints."""
        seconds = {name: round(value, 2) for name, value in self.seconds.items()}
        return {"materialized": self.materialized, "fresh": self.fresh, "failed": self.failed, "seconds": seconds}


def nothing_to_do(ws: Workspace, params: Params) -> Outcome | None:
    """The outcome of a run of all stages, where all are fresh and Dagster and `dvc.lock` know it; else None.

    Raises:
        UserError: another run is under way.
    """
    with exclusive(ws):
        found = states(ws, params)
        fresh = all(state.state == "fresh" for state in found) and is_told(ws, found)
    return Outcome(fresh=[state.name for state in found]) if fresh else None
