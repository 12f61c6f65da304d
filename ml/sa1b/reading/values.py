"""Where the text of files made elsewhere becomes values: typed takers, readers of text and JSON, odd values shown.

A taker gives the value it is named for, or a `ValueError` that says what is wrong with it, whatever it is given.
"""

import json
import math
import reprlib
from pathlib import Path
from typing import Any

from ml.errors import UserError, cut

MOST_BYTES = 4 << 30  # of a file that is held in memory; VQA's answers, the largest, are 60 MB
MOST_DIGITS = 1000  # of an integer in JSON; Python refuses to read more than 4300
MOST_TEXT = 10_000  # letters of a name or a sentence; those of benchmarks have some hundred at most
MOST_LETTERS = 80  # of a value that is shown
IDS = range(-(2**63), 2**63)  # as the tables hold them

_brief = reprlib.Repr()
_brief.maxlevel, _brief.maxstring, _brief.maxother = 3, MOST_LETTERS, MOST_LETTERS


def shown(value: object) -> str:
    """A value as a reject or an error shows it: in one line and short, however large or deep it is."""
    if isinstance(value, str):
        return cut(value, MOST_LETTERS)
    try:
        return cut(_brief.repr(value), MOST_LETTERS)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes
        return f"a {type(value).__name__}"


def identity(value: Any) -> int:
    """An id: an integer, also where it is written as 1.0, "1" or "0001".

    Raises:
        ValueError: anything else, or it takes more than 64 bits.
    """
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value not in IDS:
        raise ValueError("no integer id")
    return value


def name_or_number(value: Any) -> str:
    """An id that may be text or an integer, as text.

    Raises:
        ValueError: neither.
    """
    return text(value) if isinstance(value, str) else str(identity(value))


def number(value: Any) -> float:
    """A finite number.

    Raises:
        ValueError: no number, a boolean, NaN, infinite, or too large for a float.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("no number")
    try:
        finite = float(value)
    except OverflowError:
        finite = math.inf
    if not math.isfinite(finite):
        raise ValueError("no finite number")
    return finite


def text(value: Any) -> str:
    """Text without the space around it, with something in it.

    Raises:
        ValueError: no text, empty, absurdly long, or it holds what no UTF-8 text does: a NUL or half a surrogate pair.
    """
    if not isinstance(value, str):
        raise ValueError("no text")
    if len(value) > MOST_TEXT:
        raise ValueError(f"text of more than {MOST_TEXT:,} letters")
    if "\0" in value:
        raise ValueError("a NUL byte in the text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("not valid Unicode") from None
    if not (words := value.strip()):
        raise ValueError("empty text")
    return words


def items(value: Any) -> list[Any]:
    """A list.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, list | tuple):
        raise ValueError("no list")
    return list(value)


def parse_json(line: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: malformed, nested too deeply, or an object has a key twice.
    """
    try:
        return json.loads(line, parse_int=_integer, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except MemoryError:
        raise ValueError("too large for this machine's memory") from None


def _integer(digits: str) -> int | float:
    """An integer; one of absurdly many digits becomes infinite, so that it costs its row and not its file."""
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {cut(next(key for key in keys if keys.count(key) > 1), 40)!r} comes twice")
    return found


def read_bytes(path: Path) -> bytes:
    """A file that is held in memory.

    Raises:
        UserError: not readable, or absurdly large.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise UserError(f"{path}: {size:,} bytes; expected at most {MOST_BYTES:,}: fetch it again")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: not readable: {error.strerror or error}; fetch it again") from error
    except MemoryError as error:
        raise UserError(f"{path}: {size:,} bytes are too many for this machine's memory") from error


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: not readable, or not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {error.object[error.start]:#04x} at {error.start}"
        raise UserError(f"{path}: not readable as UTF-8 ({found}); save it as UTF-8") from error


def read_lines(path: Path) -> list[str]:
    r"""The lines of a text file. They end at "\n" or "\r\n", in a file without either at "\r": no other break ends one.

    Raises:
        UserError: not readable, or not UTF-8.
    """
    whole = read_text(path)
    end = "\n" if "\n" in whole else "\r"
    return [line.removesuffix("\r") for line in whole.removesuffix(end).split(end)]


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        UserError: not readable, not UTF-8 or no JSON.
    """
    try:
        return parse_json(read_text(path))
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({cut(str(error))}); fetch it again") from error


def read_lists(path: Path, names: tuple[str, ...], kind: str) -> list[list[Any]]:
    """The lists that a JSON file holds under `names`; `kind` says what the file is then.

    Raises:
        UserError: the file is not readable, or has no such lists.
    """
    raw = read_json(path)
    for name in names:
        if not isinstance(raw, dict) or not isinstance(raw.get(name), list):
            raise UserError(f"{path}: {kind}: expected a list under {name!r}; fetch it again")
    return [raw[name] for name in names]
