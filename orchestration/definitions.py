"""The one object Dagster loads: the line of the workspace it is started in."""

import os

import dagster as dg

from ml.params import Params
from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration import checks, ghosts, provenance
from orchestration.assets import assets
from orchestration.freshness.lock import busy
from orchestration.resources import resources


def build(ws: Workspace, params: Params) -> dg.Definitions:
    """All assets, their checks, and what they need."""
    return dg.Definitions(
        assets=assets(ws, params),
        asset_checks=checks.checks(ws, params),
        resources=resources(ws, params),
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
    """The workspace around the current folder: its code, its params, and its data as they are now."""
    ws = Workspace.find()
    params = load(ws.params_file)
    if "DAGSTER_HOME" in os.environ and not busy(ws):
        with dg.DagsterInstance.get() as instance:
            ghosts.bury(instance, ghosts.OURS)
            provenance.tell(instance, ws, params)
    return build(ws, params)
