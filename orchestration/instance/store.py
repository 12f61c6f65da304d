"""Where Dagster's store is, SQLite in the instance's folder or a server; what is said of one that cannot be used."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml.errors import UserError, cut
from ml.workspace import yamlfile

SERVERS = "deploy/servers/README.md"


def is_elsewhere(home: Path) -> bool:
    """Whether the configuration of the instance in a folder names a store; else it lies in the folder.

    Raises:
        UserError: the configuration cannot be read, or names variables that are not set.
    """
    config = home / "dagster.yaml"
    found = yamlfile.read(config, f"git checkout {config} has the embedded one, {SERVERS} tells of others") or {}
    if unset := [name for name in _variables(found) if name not in os.environ]:
        raise UserError(f"{config}: not set in the environment: {', '.join(unset)}; {SERVERS} tells of them")
    return "storage" in found


def unusable(home: Path, elsewhere: bool, error: BaseException) -> str:
    """What to tell of a store that cannot be used, in the words of the database itself, and what to do."""
    if elsewhere:
        way_out = f"start its server or correct what {home}/dagster.yaml names ({SERVERS}), then run again"
    else:
        folders = f"{home}/history {home}/schedules {home}/storage"
        way_out = f"what it knows is told to it again: rm -r {folders}, then run again"
    return f"{home}: Dagster's store can't be used ({reason(error)}); {way_out}"


def reason(error: BaseException) -> str:
    """The database's own words, which name the address and no password."""
    return cut(str(getattr(error, "orig", error)), 160)


def _variables(part: Any) -> Iterator[str]:
    """The variables whose values a part of Dagster's configuration takes: `{env: NAME}`."""
    if isinstance(part, list):
        part = dict(enumerate(part))
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "env" and isinstance(value, str):
                yield value
            else:
                yield from _variables(value)
