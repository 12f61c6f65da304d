"""Pickles of plain values, as RefCOCO's refs come: read without running anything that they name."""

import io
import pickle
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml.errors import UserError, cut
from ml.sa1b.reading.values import read_bytes, shown

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
    RecursionError,
)
COUNTS = ("PUT", "BINPUT", "LONG_BINPUT", "FRAME")  # they make room for what they count to
OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
PAIRS = ("GLOBAL", "INST")  # their arguments are two lines
HASHED = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
MOST_HASHED = 65_536  # Python takes the hash of nested tuples without a look at its stack, and crashes at 100,000


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
    data = read_bytes(path)
    try:
        _bound(data)
        return PlainUnpickler(io.BytesIO(data), encoding="utf-8", errors="replace").load()
    except MALFORMED as error:
        reason = cut(str(error)) or type(error).__name__
        raise UserError(f"{path}: refused as a pickle of plain types: {reason}; fetch it again") from error


def _bound(data: bytes) -> None:
    """Refuse what would take memory that the file's own size does not explain; read so, nothing is made of it.

    Raises:
        ValueError: malformed, a length beyond the end of the file, or a number in its memo that it can't count to.
    """
    hashed = 0
    for name, argument in _opcodes(data):
        if name in COUNTS and int(argument) > len(data):
            raise ValueError(f"{name} of {shown(int(argument))} in a file of {len(data)} bytes")
        hashed += name in HASHED
    if hashed > MOST_HASHED:
        raise ValueError(f"{hashed} tuples, more than {MOST_HASHED}; write them as lists")


def _opcodes(data: bytes) -> Iterator[tuple[str, Any]]:
    """The opcodes to the end and their arguments, those in lines as bytes: `genops` reads Python 2's text as ASCII."""
    file = io.BytesIO(data)
    while code := file.read(1):
        opcode = OPCODES.get(code.decode("latin-1"))
        if opcode is None:
            raise ValueError(f"{code!r} at {file.tell() - 1} is no opcode")
        if opcode.arg is None:
            yield opcode.name, None
        elif opcode.arg.n == pickletools.UP_TO_NEWLINE:
            yield opcode.name, file.readline()
            if opcode.name in PAIRS:
                file.readline()
        else:
            yield opcode.name, opcode.arg.reader(file)
        if opcode.name == "STOP":
            return
    raise EOFError("it is cut short")
