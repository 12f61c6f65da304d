"""The lines of a list that someone wrote by hand or on another system: a links file, a list of checksums."""

from collections.abc import Iterator
from pathlib import Path

from ml.errors import UserError, cut


def numbered(path: Path, key: str, allowed: str) -> Iterator[tuple[int, str]]:
    """(number from 1, line without blanks around it) of all lines that hold anything; a BOM is no part of the first.

    Lines end with a newline alone: what else Unicode counts as an end of line may stand inside a name.

    Args:
        key: the param that names the file; `allowed`: what it may be. Both go into the error.

    Raises:
        UserError: the file is missing or not UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = cut(error.strerror if isinstance(error, OSError) and error.strerror else str(error), 80)
        raise UserError(f"{key}: {shown(path)} is not readable ({reason}); allowed: {allowed}") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line := line.strip():
            yield number, line


def shown(path: Path) -> str:
    """A path for an error, cut to its end."""
    text = str(path)
    return text if len(text) <= 100 else f"...{text[-97:]}"
