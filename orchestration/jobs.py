"""A job a stage: Dagster's timeline and list of runs say which one ran, started by the page or by `arrcoc run`."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.execution.api import execute_run
from dagster._core.execution.execution_result import ExecutionResult
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from ml.workspace import Workspace, stages

MODULE = "orchestration.definitions"  # the code location on Dagster's page
OURS = {"started_by": "arrcoc run"}  # tags the runs of the command, which holds the workspace as long as it lives
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def jobs(ws: Workspace) -> list[UnresolvedAssetJobDefinition]:
    """A job for each stage."""
    return [
        dg.define_asset_job(_job(name), selection=dg.AssetSelection.assets(name), description=stage.description)
        for name, stage in stages.load(ws).items()
    ]


def execute(defs: dg.Definitions, name: str, instance: dg.DagsterInstance, tags: Mapping[str, str]) -> ExecutionResult:
    """Run a stage's job in this process, told to be of the page's code location: else its timeline leaves it out."""
    job: Any = defs.resolve_job_def(_job(name))
    run = instance.create_run_for_job(
        job, run_config=QUIET, tags={**job.run_tags, **OURS, **tags}, remote_job_origin=_origin(name)
    )
    return execute_run(InMemoryJob(job), run, instance)


def _job(name: str) -> str:
    """What a stage's job is called: the stage's own name is that of its step."""
    return f"{name}_job"


def _origin(name: str) -> RemoteJobOrigin:
    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name=MODULE), MODULE)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), _job(name))
