"""The error a user can act on: the command line prints its text alone and exits with code 2."""


class UserError(Exception):
    """The user's input or environment is wrong.

    The text is one line that names the file or key, the value found, the value wanted and the way out.
    """


# As the system, SQLite and torch.save say it.
FULL = ("No space left on device", "database or disk is full", "disk I/O error", "unexpected pos ")
NO_SPACE = "no space left on the disk; free some and run again"


def disk_is_full(message: str) -> bool:
    """Whether an error's message says so, whoever wrote."""
    return any(words in message for words in FULL)


def cut(text: str, most: int = 120) -> str:
    """Text of others in one line that any terminal and file can hold, with at most that many characters."""
    line = " ".join(text[: 10 * most].encode("utf-8", "backslashreplace").decode().split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
