"""Turns the stages of `dvc.yaml` into Dagster assets: thin, partitioned where the stage is, with versions."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg

from ml import pipeline
from ml.compute.pool import Pool
from ml.errors import UserError
from ml.params import Params
from ml.sa1b.sharding import Recipe, run_shard
from ml.training.tracking import provenance, store
from ml.workspace import Workspace, stages
from ml.workspace.lineage import data_version
from ml.workspace.remaining import Remaining
from ml.workspace.snapshot import Snapshot
from ml.workspace.stages import Stage
from orchestration.freshness.lock import exclusive
from orchestration.freshness.staleness import recorded
from orchestration.freshness.versions import code_version
from orchestration.partitions import Partitions, partitions
from orchestration.resources import Launcher, Ledger, report_versions
from orchestration.shown import Shown

for _category in (dg.BetaWarning, dg.PreviewWarning):  # of backfill_policy and Pipes; the version is pinned
    warnings.filterwarnings("ignore", category=_category)

PROGRESS_EVENTS = 20  # of a stage's shards: each takes Dagster's store 25 to 100 ms
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


def assets(ws: Workspace, params: Params, shown: Shown) -> list[dg.AssetsDefinition]:
    """An asset a stage, in order."""
    line = Line(ws, params, stages.load(ws), partitions(ws, params), shown, Snapshot(ws))
    return [line.sharded(stage) if stage.per else line.whole(stage) for stage in line.stages.values()]


@dataclass(frozen=True)
class Line:
    """A workspace, its params and its stages, as the assets need them."""

    ws: Workspace
    params: Params
    stages: dict[str, Stage]
    partitions: Partitions
    shown: Shown
    at: Snapshot

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
            with self._running(name, workspace, params):
                work = partial(run_shard, pipeline.SHARDED[name], Recipe.of(name, workspace, params))
                found = pool.map(work, context.partition_keys, stage.gpu)
                pace, total = Remaining(), len(context.partition_keys)
                for done, (shard, report) in enumerate(found, 1):
                    ledger.add(name, shard, report)
                    left = pace.words(done, total)
                    if done % max(1, total // PROGRESS_EVENTS) == 0:
                        context.log.info(f"{done} of {total}: {shard}{left}")
                    ledger.tell(name, shard, done, total)
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
            with self._running(name, workspace, params):
                training = name in pipeline.TRAINING
                run = partial(launcher.run, context) if training else pipeline.run
                report = run(name, workspace, params)
            ledger.close(name)
            version = data_version(workspace, workspace.stage(name)) or ""
            shown = dict(ledger.show(name, report))
            if made := store.maker(workspace, name):
                context.instance.add_run_tags(context.run_id, {f"mlflow/{name}": made["run_id"]})
            return dg.MaterializeResult(metadata=shown, data_version=dg.DataVersion(version))

        return asset

    @contextmanager
    def _running(self, name: str, ws: Workspace, params: Params) -> Iterator[None]:
        """Around the work of a stage.

        Raises:
            UserError: the params are not those of `params.yaml`, which cannot be used.
        """
        if self.shown.trouble:
            raise UserError(self.shown.trouble)
        with exclusive(ws), recorded(name, ws, params):
            yield

    def _spec(self, stage: Stage) -> dict[str, Any]:
        deps = [
            dg.AssetDep(upstream, partition_mapping=self.partitions.mapping(self.stages[upstream], stage))
            for upstream in stage.upstream
        ]
        return {
            "name": stage.name,
            "description": self.shown.description(stage),
            "metadata": self.shown.metadata(stage.name),
            "group_name": stage.group,
            "kinds": set(stage.kinds),
            "deps": deps,
            "code_version": code_version(stage, self.at, self.params),
            "automation_condition": HANDS_FREE,
        }
