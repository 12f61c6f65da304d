"""Ctrl-C reaches every process of a terminal's group; only the one that tells of it should say anything."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from dagster._core.execution import compute_logs


@contextmanager
def _ignored() -> Iterator[None]:
    """Without interrupts, which the main thread alone gets; a process started inside ignores them for good."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def shield_log_watchers() -> None:
    """Let the processes that follow a step's output for Dagster ignore interrupts: they would print traces.

    They end with the step. Dagster has no hook where it starts them.
    """
    start = compute_logs.execute_posix_tail

    @contextmanager
    def shielded(path: str, stream: Any) -> Iterator[Any]:
        with ExitStack() as stack:
            with _ignored():
                found = stack.enter_context(start(path, stream))
            yield found

    if start.__module__ == compute_logs.__name__:  # not shielded yet
        compute_logs.execute_posix_tail = shielded
