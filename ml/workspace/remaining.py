"""How long the rest of some work takes, at the pace at which it has gone since it was first counted."""

import time


class Remaining:
    """Counts what is done."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def words(self, done: int, total: int) -> str:
        """`, 5 min left` after `done` of `total` pieces; empty at first, and at the end."""
        now = time.monotonic()
        begun, first = self._first = self._first or (now, done)
        if not first < done < total:
            return ""
        return f", {in_words((now - begun) / (done - first) * (total - done))} left"


def in_words(seconds: float) -> str:
    """A length of time as one says it: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
