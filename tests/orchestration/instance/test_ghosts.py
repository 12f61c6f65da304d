"""A run whose process was killed is not waited for: the next `arrcoc run`, or the page, marks it as failed."""

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from orchestration.instance.ghosts import bury
from orchestration.instance.opened import instance
from orchestration.jobs import OURS

PAGE = "__ASSET_JOB"


def recorded(found: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None) -> str:
    return create_run_for_test(found, job_name=PAGE, status=status, tags=tags).run_id


def test_only_what_is_recorded_as_in_progress_is_buried():
    with dg.DagsterInstance.ephemeral() as found:
        statuses = [dg.DagsterRunStatus[name] for name in ("STARTED", "STARTING", "NOT_STARTED", "SUCCESS")]
        ids = {status.name: recorded(found, status) for status in statuses}
        bury(found, OURS)
        assert found.get_run_by_id(ids["STARTED"]).status.name == "STARTED"  # of the page, which may be up
        bury(found)
        after = {name: found.get_run_by_id(run).status.name for name, run in ids.items()}
    assert after == {"STARTED": "FAILURE", "STARTING": "FAILURE", "NOT_STARTED": "NOT_STARTED", "SUCCESS": "SUCCESS"}


@pytest.mark.parametrize("status", ["STARTED", "NOT_STARTED"])
def test_the_next_run_buries_the_one_that_was_killed(town, status):
    with instance(town.ws) as found:
        dead = recorded(found, dg.DagsterRunStatus[status], OURS)
    town.run()
    with instance(town.ws) as found:
        assert found.get_run_by_id(dead).status == dg.DagsterRunStatus.FAILURE
