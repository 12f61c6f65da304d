"""What Dagster's lists say of the runs of `arrcoc run`."""

from orchestration.instance.opened import instance
from orchestration.jobs import MODULE, OURS


def test_a_run_bears_the_name_of_its_stage_and_belongs_to_the_page(town):
    town.edit(filter__predicted_iou=0.9)
    assert town.run().materialized == ["filtered_masks"]
    with instance(town.ws) as found:
        (run,) = found.get_runs(limit=1)
    assert run.job_name == "filtered_masks_job"
    assert run.remote_job_origin.location_name == MODULE  # or the timeline leaves it out
    assert OURS.items() <= run.tags.items()
