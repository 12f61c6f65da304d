"""Pickles of plain values, as RefCOCO's refs come: read without running anything that they name."""

import pickle
from pathlib import Path
from typing import Any

from ml.errors import UserError

MALFORMED = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
)


class PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, tuples, sets, text, bytes, numbers, booleans and None; refuses every class and function."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse: a class or function would be code of the file's author."""
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no plain type")

    def persistent_load(self, pid: Any) -> Any:
        """Refuse: an object outside the file."""
        raise pickle.UnpicklingError("it names an outside object")


def load_plain_pickle(path: Path) -> Any:
    """The plain values in a pickle; strings of Python 2 are read as UTF-8.

    Raises:
        UserError: missing, malformed, or it holds anything but plain types; nothing of it has run.
    """
    try:
        with path.open("rb") as file:
            return PlainUnpickler(file, encoding="utf-8", errors="replace").load()
    except OSError as error:
        raise UserError(f"{path}: not readable: {error.strerror}") from error
    except MALFORMED as error:
        raise UserError(f"{path}: refused as a pickle of plain types: {error}; fetch it again") from error
