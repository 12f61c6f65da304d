"""Waiting until something is so."""

import inspect
import time
from collections.abc import Callable


def wait_for(found: Callable[[], object], seconds: float = 60.0) -> None:
    """Ask until it is so."""
    begun = time.monotonic()
    while not found():
        assert time.monotonic() - begun < seconds, f"not so after {seconds:.0f} s: {inspect.getsource(found).strip()}"
        time.sleep(0.2)
