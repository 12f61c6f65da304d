"""What a person did, or can mend, is one line on Dagster's page: without the stack that Dagster records beside it."""

from typing import Any

from dagster._core.errors import DagsterExecutionInterruptedError, DagsterUserCodeExecutionError
from dagster._core.execution import api
from dagster._core.execution.plan import objects
from dagster._utils.error import SerializableErrorInfo, serializable_error_info_from_exc_info

from ml.errors import UserError

STOPPED = "Stopped; the next run goes on where this one was."


def record_briefly() -> None:
    """Have Dagster record such errors without their stack. It has no hook where it records them."""
    for module in (objects, api):
        setattr(module, serializable_error_info_from_exc_info.__name__, _recorded)


def _recorded(exc_info: Any) -> SerializableErrorInfo:
    found, error = serializable_error_info_from_exc_info(exc_info), exc_info[1]
    if isinstance(error, KeyboardInterrupt | DagsterExecutionInterruptedError):
        return SerializableErrorInfo(STOPPED, [], found.cls_name)
    if isinstance(error, DagsterUserCodeExecutionError) and isinstance(error.user_exception, UserError):
        told = SerializableErrorInfo(str(error.user_exception), [], UserError.__name__)
        return SerializableErrorInfo(found.message, [], found.cls_name, told)  # Dagster wants a cause
    return found
