"""Every input ends in a full read, in counted rejects, or in one `UserError`, soon and without much memory.

The folders of helpers are on the path, so that they can be imported by their names.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml.errors import UserError

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "ml" / "sa1b")]

MOST_SECONDS = 10.0  # for a file of less than 10 MB
MOST_KILOBYTES = 1 << 20
MOST_LETTERS, MOST_LINES = 400, 11  # of a line of an error, whatever the input; of params a line a key


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    """No input of a test takes more than a gigabyte."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KILOBYTES


@pytest.fixture(scope="session")
def taken() -> Callable[[Callable[[], Any]], Any]:
    """Call a reader: what it gives, or None where it refused in one line."""

    def take(read: Callable[[], Any]) -> Any:
        begun = time.process_time()  # whatever else runs on the machine
        try:
            return read()
        except UserError as error:
            lines = str(error).splitlines()
            assert 0 < len(lines) <= MOST_LINES
            assert max(map(len, lines)) < MOST_LETTERS
            assert "Traceback" not in str(error)
            return None
        finally:
            assert time.process_time() - begun < MOST_SECONDS

    return take
