"""The instance of a workspace, and one line where its store cannot be used or is another's."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import DatabaseError

from ml.errors import UserError, disk_is_full
from ml.workspace import Workspace
from orchestration.instance import owner
from orchestration.instance.patience import wait_for_store
from orchestration.instance.store import is_elsewhere, unusable

RETRYING = "Retrying failed database connection"  # what Dagster logs of each try, on three lines


@contextmanager
def instance(ws: Workspace) -> Iterator[dg.DagsterInstance]:
    """The workspace's Dagster instance.

    Raises:
        UserError: its configuration is missing, without which Dagster would send statistics, or names a variable that
            is not set; its store is broken, away, goes away meanwhile, or is another workspace's.
    """
    home = ws.root / ".dagster"
    if not (home / "dagster.yaml").is_file():
        raise UserError(f"{home / 'dagster.yaml'} is missing; get it back with git checkout .dagster/dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    elsewhere = is_elsewhere(home)
    with _told(home, elsewhere), _opened(home, elsewhere) as found:
        wait_for_store(home)
        if elsewhere:
            owner.claim(ws, found.run_storage)
        yield found


def _opened(home: Path, elsewhere: bool) -> dg.DagsterInstance:
    log = logging.getLogger()
    log.addFilter(_is_no_retry)
    try:
        found = dg.DagsterInstance.from_config(str(home))
        found.get_runs(limit=1)
    except (dg.DagsterError, OSError) as error:
        raise UserError(unusable(home, elsewhere, error)) from error
    finally:
        log.removeFilter(_is_no_retry)
    return found


def _is_no_retry(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(RETRYING)


@contextmanager
def _told(home: Path, elsewhere: bool) -> Iterator[None]:
    """What goes wrong with the store, in one line, whatever Dagster makes of it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, DatabaseError):
            cause = cause.__cause__
        if cause is None or disk_is_full(str(cause)):
            raise
        raise UserError(unusable(home, elsewhere, cause)) from error
