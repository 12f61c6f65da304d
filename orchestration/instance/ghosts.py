"""Dagster's runs whose process was killed: Dagster takes them for running, and its queue would wait for them.

`python -m orchestration.instance.ghosts` is what a container of Dagster's code server begins with: runs of the page are
its processes, and those of the container before it are gone.
"""

from collections.abc import Mapping

import dagster as dg

IN_PROGRESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def bury(instance: dg.DagsterInstance, ours: Mapping[str, str] | None = None) -> None:
    """Mark as failed what is recorded as in progress; to be called when none of it can be.

    Args:
        ours: only runs with these tags, those of `arrcoc run`: of them one that was not started never will be, while
            one of the page may be about to.
    """
    statuses = [*IN_PROGRESS, dg.DagsterRunStatus.NOT_STARTED] if ours else IN_PROGRESS
    for run in instance.get_runs(dg.RunsFilter(tags=ours, statuses=statuses)):
        instance.report_run_failed(run, "Its process ended without a word.")


def main() -> None:
    """Bury what the workspace around the current folder has, unless a process runs stages there."""
    from ml.workspace import Workspace
    from orchestration.freshness.lock import busy
    from orchestration.instance.opened import instance

    if not busy(ws := Workspace.find()):
        with instance(ws) as found:
            bury(found)


if __name__ == "__main__":
    main()
