"""Compilation of the inner loops."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` with its cache on disk, or without one where no folder can be written."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no writable place: a read-only installation without a home folder
        return njit(nogil=True)(function)
