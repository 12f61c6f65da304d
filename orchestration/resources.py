"""What assets need from outside, injected: the pool for shards, the launcher for training, the ledger of versions."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from ml.compute.pool import open_pool
from ml.errors import UserError
from ml.params import Params
from ml.training.launch import launch
from ml.workspace import Workspace
from ml.workspace.report import Report
from ml.workspace.snapshot import Snapshot
from orchestration import provenance
from orchestration.freshness.dvc_lock import commit
from orchestration.freshness.staleness import state_of
from orchestration.freshness.told import forget
from orchestration.metadata import metadata


class Launcher:
    """Starts a training stage under DeepSpeed; progress and metrics stream back through Dagster Pipes."""

    def run(self, context: dg.AssetExecutionContext, name: str, ws: Workspace, params: Params) -> Report:
        """Run a training stage to its end; it is done also where Dagster's store does not take word of that."""
        folder = ws.resume / "pipes"  # in the workspace, which other hosts see too
        folder.mkdir(parents=True, exist_ok=True)
        injector = dg.PipesFileContextInjector(str(folder / f"{name}.context"))
        reader = dg.PipesFileMessageReader(str(folder / f"{name}.messages"))
        report = None
        try:
            with dg.open_pipes_session(context, injector, reader) as session:
                report = launch(name, ws, params, env=session.get_bootstrap_env_vars())
        except UserError:
            if report is None:
                raise
        return report


@dataclass
class Ledger:
    """Writes down what a finished stage made: pictures, each shard's data version, `dvc.lock`.

    `commit`: also bring `dvc.lock` up to date after each stage, and tell Dagster the versions; `arrcoc run` does the
    one at its end, and the other together with what else Dagster does not know.
    """

    ws: Workspace
    params: Params
    commit: bool = True
    tell: Callable[[str, str, int, int], None] = lambda name, shard, done, total: None
    pending: dict[str, dict[str, provenance.Metadata]] = field(default_factory=dict)

    def show(self, name: str, report: Report) -> provenance.Metadata:
        """The report as metadata; its pictures are kept in the instance's folder."""
        home = Path(os.environ.get("DAGSTER_HOME", self.ws.root / ".dagster"))
        return metadata(report, home, name)

    def add(self, name: str, shard: str, report: Report) -> None:
        """Keep a shard's report until Dagster may be told its version."""
        self.pending.setdefault(name, {})[shard] = self.show(name, report)

    def close(self, name: str) -> None:
        """The stage is done: update `dvc.lock`, where that is not left to the caller."""
        forget(self.ws, name)
        if self.commit and state_of(name, Snapshot(self.ws), self.params).state == "fresh":
            commit(self.ws, [name])

    def flush(self, instance: dg.DagsterInstance, name: str) -> None:
        """Report the versions of the shards that the stage has run, where that is not left to the caller."""
        if self.commit:
            provenance.report(instance, Snapshot(self.ws), self.params, name, self.pending.pop(name, {}))


@dg.success_hook(required_resource_keys={"ledger"})
def report_versions(context: dg.HookContext) -> None:
    """After Dagster's own events, which carry one data version for all partitions of a run, each shard's own."""
    context.resources.ledger.flush(context.instance, context.op.name)


def resources(ws: Workspace, params: Params) -> dict[str, object]:
    """The resources of a run that Dagster's page starts."""
    return {
        "workspace": ws,
        "params": params,
        "pool": open_pool(params.shards),
        "launcher": Launcher(),
        "ledger": Ledger(ws, params),
    }
