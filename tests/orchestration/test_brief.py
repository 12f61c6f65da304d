"""What Dagster records of an error: one line of what a person did or can mend, all of what is a fault of ours."""

import dagster as dg
import pytest

from ml.errors import UserError
from orchestration.brief import STOPPED, record_briefly


@pytest.mark.parametrize(
    ("raised", "message", "traced"),
    [
        (UserError("params.yaml: seed: found 'x'"), "params.yaml: seed: found 'x'", False),
        (dg.DagsterExecutionInterruptedError(), STOPPED, False),
        (RuntimeError("a fault"), "RuntimeError: a fault", True),
    ],
)
def test_the_user_is_told_in_one_line(raised: BaseException, message: str, traced: bool) -> None:
    record_briefly()

    @dg.asset
    def stage() -> None:
        raise raised

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([stage], instance=instance, raise_on_error=False)
        events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    error = events[0].dagster_event.step_failure_data.error
    assert message in error.to_string()
    assert ("Stack Trace" in error.to_string()) is traced
