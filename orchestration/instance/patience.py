"""A store's server that goes away in the middle of a run is waited for.

Dagster tries to connect for eleven seconds, and a step whose event is not taken then fails, after days of training
too; it has no setting for that. What trains meanwhile does not wait: only its events do.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DatabaseError

from ml.errors import UserError
from orchestration.instance.store import is_elsewhere, reason, unusable

SECONDS = 600.0  # that a server may be away
PAUSE = 1.0


def wait_for_store(home: Path) -> None:
    """Have Dagster wait for the server of the instance in a folder, where PostgreSQL is its store.

    Opening an instance takes Dagster's eleven seconds all the same: an address may be wrong.

    Raises:
        UserError: the instance's configuration cannot be read.
    """
    if not is_elsewhere(home):
        return
    try:
        from dagster_postgres import utils
    except ImportError:  # another store than PostgreSQL; or Dagster will say what is not installed
        return
    setattr(utils, "retry_pg_connection_fn", _Patience(home))  # noqa: B010


class _Patience:
    """In the place of Dagster's function: calls one that connects, until it does or the time is over."""

    def __init__(self, home: Path) -> None:
        self.home, self.away = home, False

    def __call__(self, connect: Callable[[], Any], **_: Any) -> Any:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                found = connect()
                self._note(False, "Dagster's store answers again")
                return found
            except DatabaseError as error:
                if time.monotonic() > deadline:
                    raise UserError(unusable(self.home, True, error)) from error
                self._note(True, f"Dagster's store does not answer ({reason(error)}), waiting for it")
            time.sleep(PAUSE)

    def _note(self, away: bool, words: str) -> None:
        if away != self.away:
            self.away = away
            print(f"arrcoc: {words}", file=sys.stderr, flush=True)
