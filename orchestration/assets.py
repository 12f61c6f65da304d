"""Turns the stages of `dvc.yaml` into Dagster assets: thin, partitioned where the stage is, with versions."""

import os
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg

from ml import pipeline
from ml.compute.pool import Pool
from ml.params import Params
from ml.sa1b.sharding import run_shard
from ml.training.tracking import provenance, store
from ml.workspace import Workspace, stages
from ml.workspace.lineage import data_version
from ml.workspace.stages import Stage
from orchestration.freshness.lock import exclusive
from orchestration.freshness.staleness import recorded
from orchestration.freshness.versions import code_version
from orchestration.partitions import Partitions, partitions
from orchestration.resources import Launcher, Ledger, report_versions

for _category in (dg.BetaWarning, dg.PreviewWarning):  # of backfill_policy and Pipes; the version is pinned
    warnings.filterwarnings("ignore", category=_category)

CHANGED = (  # `any_deps_updated` would also fire where the rebuilt input is the same
    dg.AutomationCondition.code_version_changed()
    | dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
)
HANDLED = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
HANDS_FREE = (  # `since`: a stage that ran together with the one above it is not asked for a second time
    (dg.AutomationCondition.missing() | CHANGED.since(HANDLED))
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.any_deps_in_progress()
)


def assets(ws: Workspace, params: Params) -> list[dg.AssetsDefinition]:
    """An asset a stage, in order."""
    line = Line.of(ws, params)
    return [line.sharded(stage) if stage.per else line.whole(stage) for stage in line.stages.values()]


@dataclass(frozen=True)
class Line:
    """A workspace, its params and its stages, as the assets need them."""

    ws: Workspace
    params: Params
    stages: dict[str, Stage]
    partitions: Partitions

    @classmethod
    def of(cls, ws: Workspace, params: Params) -> "Line":
        """The line of a workspace."""
        return cls(ws, params, stages.load(ws), partitions(ws, params))

    def sharded(self, stage: Stage) -> dg.AssetsDefinition:
        """An asset with a partition a shard (or group of shards); one run takes as many as are asked for."""
        name = stage.name

        @dg.asset(
            **self._spec(stage),
            partitions_def=self.partitions.of(stage),
            backfill_policy=dg.BackfillPolicy.single_run(),
            hooks={report_versions},
        )
        def asset(
            context: dg.AssetExecutionContext,
            workspace: dg.ResourceParam[Workspace],
            params: dg.ResourceParam[Params],
            pool: dg.ResourceParam[Pool],
            ledger: dg.ResourceParam[Ledger],
        ) -> None:
            with exclusive(workspace), recorded(name, workspace, params):
                work = partial(run_shard, pipeline.SHARDED[name], name, workspace, params)
                found = pool.map(work, context.partition_keys, stage.gpu)
                for done, (shard, report) in enumerate(found, 1):
                    ledger.add(name, shard, report)
                    ledger.tell(name, shard, done, len(context.partition_keys))
            ledger.close(name)

        return asset

    def whole(self, stage: Stage) -> dg.AssetsDefinition:
        """An asset that is made as one piece; a training stage by DeepSpeed, in processes of its own."""
        name = stage.name

        @dg.asset(**self._spec(stage))
        def asset(
            context: dg.AssetExecutionContext,
            workspace: dg.ResourceParam[Workspace],
            params: dg.ResourceParam[Params],
            launcher: dg.ResourceParam[Launcher],
            ledger: dg.ResourceParam[Ledger],
        ) -> dg.MaterializeResult:
            os.environ[provenance.DAGSTER_RUN] = context.run_id
            with exclusive(workspace), recorded(name, workspace, params):
                training = name in pipeline.TRAINING
                run = partial(launcher.run, context) if training else pipeline.run
                report = run(name, workspace, params)
            ledger.close(name)
            version = data_version(workspace, workspace.stage(name)) or ""
            shown = {**ledger.show(name, report), **_links(name, workspace, params)}
            if made := store.maker(workspace, name):
                context.instance.add_run_tags(context.run_id, {f"mlflow/{name}": made["run_id"]})
            return dg.MaterializeResult(metadata=shown, data_version=dg.DataVersion(version))

        return asset

    def _spec(self, stage: Stage) -> dict[str, Any]:
        deps = [
            dg.AssetDep(upstream, partition_mapping=self.partitions.mapping(self.stages[upstream], stage))
            for upstream in stage.upstream
        ]
        return {
            "name": stage.name,
            "description": stage.description,
            "group_name": stage.group,
            "kinds": set(stage.kinds),
            "deps": deps,
            "code_version": code_version(stage, self.ws, self.params),
            "automation_condition": HANDS_FREE,
        }


def _links(name: str, ws: Workspace, params: Params) -> dict[str, dg.MetadataValue]:
    """The page of the run that made it, and the view of all scores."""
    pages = {"mlflow": store.run_page(ws, params, name), "mlflow scores": store.scores_page(ws, params, name)}
    return {label: dg.MetadataValue.url(address) for label, address in pages.items() if address}
