"""The one object Dagster loads: the line of the workspace it is started in."""

import os
from collections.abc import Mapping

import dagster as dg

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration import checks, provenance
from orchestration.assets import assets
from orchestration.brief import record_briefly
from orchestration.freshness import last_valid
from orchestration.freshness.lock import busy
from orchestration.freshness.staleness import State, states
from orchestration.instance import ghosts
from orchestration.instance.opened import instance
from orchestration.instance.patience import wait_for_store
from orchestration.jobs import OURS, jobs
from orchestration.resources import resources
from orchestration.shown import Shown


def build(
    ws: Workspace, params: Params, given: Mapping[str, object] | None = None, shown: Shown | None = None
) -> dg.Definitions:
    """All assets, their checks, a job for each, and what they need.

    Args:
        given: resources instead of the page's.
        shown: what the page tells of the stages beside their descriptions.
    """
    return dg.Definitions(
        assets=assets(ws, params, shown or Shown()),
        asset_checks=checks.checks(ws, params),
        jobs=jobs(ws),
        resources=given or resources(ws, params),
        sensors=[hands_free()],
        executor=dg.in_process_executor,  # stages use the whole machine: one after the other
    )


def hands_free() -> dg.AutomationConditionSensorDefinition:
    """Runs what has become stale, a new shard included, without being asked; off until switched on on the page."""
    return dg.AutomationConditionSensorDefinition(
        "hands_free", target="*", default_status=dg.DefaultSensorStatus.STOPPED, description=hands_free.__doc__
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The workspace around the current folder: its code, its params, and its data as they are now.

    Where these cannot be read, for example while somebody edits `params.yaml`, the last graph that could stays on the
    page, and what is wrong stands on each of its assets.
    """
    record_briefly()
    ws = Workspace.find()
    try:
        wait_for_store(ws.root / ".dagster")  # a run of the page loads this, and opens its instance elsewhere
        params = load(ws.params_file)
        found = build(ws, params, shown=Shown.of(ws, params, _states(ws, params)))
    except UserError as error:
        if (last := last_valid.params(ws)) is None:
            raise
        return build(ws, last, shown=Shown(trouble=str(error)))
    last_valid.keep(ws, params)
    return found


def _states(ws: Workspace, params: Params) -> list[State]:
    """What is stale, and why; Dagster is told of what it cannot see, unless a run is just changing it."""
    if "DAGSTER_HOME" not in os.environ or busy(ws):
        return states(ws, params)
    with instance(ws) as found:
        ghosts.bury(found, OURS)
        return provenance.tell(found, ws, params)
