"""Compilation of the inner loops."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` with its cache on disk, or without one where no folder can be written."""
    return _compiled(function)


def bare(function: Callable[..., Any]) -> Any:
    """`compiled` without reference counts, for small functions that pass arrays on: twice as fast, and no allocation.

    Numba counts references at each call of a function that takes arrays; a bare one can't make an array (it does not
    compile), and calls bare ones only.
    """
    return _compiled(function, _nrt=False)


def inlined(function: Callable[..., Any]) -> Any:
    """`bare`, and copied into its callers: for the few lines that run for every letter or number."""
    return _compiled(function, _nrt=False, forceinline=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # numba found no writable place: a read-only installation without a home folder
        return njit(nogil=True, **options)(function)
