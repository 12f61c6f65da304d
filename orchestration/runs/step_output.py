"""What a step prints, shown while Dagster keeps it in a file: by a thread, where Dagster starts two processes a stream.

These take longer to start than many a step, outlive a killed run, and print traces of their own at Ctrl-C.
"""

import io
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dagster._core.execution import compute_logs

SECONDS = 0.2  # between two looks


def follow_in_threads() -> None:
    """Have Dagster follow a step's output this way. It has no hook where it does."""
    compute_logs.execute_posix_tail = _followed


@contextmanager
def _followed(path: str, stream: Any) -> Iterator[tuple[None, None]]:
    """Copy what is written to a file to a stream, which itself is about to be led there."""
    try:
        shown = os.dup(stream.fileno())
    except (AttributeError, io.UnsupportedOperation):  # no stream of the system: it is not led anywhere
        yield None, None
        return
    ended = threading.Event()
    thread = threading.Thread(target=_copy, args=(path, shown, ended), daemon=True)
    thread.start()
    try:
        yield None, None
    finally:
        ended.set()
        thread.join()


def _copy(path: str, shown: int, ended: threading.Event) -> None:
    over = False
    with suppress(OSError), os.fdopen(shown, "wb") as out, open(path, "rb") as log:  # noqa: PTH123
        while not over:
            over = ended.wait(SECONDS)
            shutil.copyfileobj(log, out)
            out.flush()
