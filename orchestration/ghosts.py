"""Dagster's runs whose process was killed: Dagster takes them for running, and its queue would wait for them."""

import dagster as dg
from dagster._core.definitions.materialize import EPHEMERAL_JOB_NAME

OURS = EPHEMERAL_JOB_NAME  # of the runs of `arrcoc run`, which holds the workspace as long as it lives
IN_PROGRESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def bury(instance: dg.DagsterInstance, job: str | None = None) -> None:
    """Mark as failed what is recorded as in progress, of one job or of all; to be called when none of it can be.

    A run of ours that was not started never will be; one of the page may be about to.
    """
    statuses = [*IN_PROGRESS, dg.DagsterRunStatus.NOT_STARTED] if job == OURS else IN_PROGRESS
    for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=statuses)):
        instance.report_run_failed(run, "Its process ended without a word.")
