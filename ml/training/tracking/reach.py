"""Whether a store can be used, asked in seconds and without MLflow, whose import and retries take longer than that."""

import socket
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ml.errors import UserError, cut

SECONDS = 3.0  # that an address has to answer
FILE = "sqlite:///"
GET = "/api/2.0/mlflow/experiments/get-by-name"
STATE = "SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = ?"


def probe(uri: str) -> None:
    """Check that something listens at the address of a tracking server, or that the folder of a file is there.

    Raises:
        UserError: nothing does, or it is not.
    """
    folder = _path(uri).parent
    if uri.startswith(FILE) and not folder.is_dir():  # MLflow would try for minutes
        raise UserError(f"tracking.uri: {uri}: the folder {folder} is missing; make it or set another tracking.uri")
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return
    host, proxies = parts.hostname or "", getproxies()
    if parts.scheme in proxies and not proxy_bypass(host):  # which answers in its place
        return
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((host, port), SECONDS).close()
    except (OSError, ValueError) as error:  # ValueError: no port is written like that
        raise UserError(unusable(uri, error)) from error


def require_active(uri: str, experiment: str) -> None:
    """Check that runs can go to an experiment, as far as the store says at once.

    Raises:
        UserError: the experiment is deleted, or the store is a file that is no database.
    """
    found = find(uri, experiment)
    if found and found[1] == "deleted":
        raise UserError(deleted(uri, experiment, found[0]))


def find(uri: str, experiment: str) -> tuple[str, str] | None:
    """The id and the state ("active", "deleted") of an experiment, as far as the store says at once.

    Raises:
        UserError: the store is a file that is no database.
    """
    if uri.startswith(FILE):
        return _in_file(uri, experiment)
    return _at_server(uri, experiment) if uri.startswith("http") else None


def deleted(uri: str, experiment: str, experiment_id: str) -> str:
    """What to tell of an experiment that takes no runs."""
    restore = f"MLFLOW_TRACKING_URI={shown(uri)} mlflow experiments restore --experiment-id {experiment_id}"
    return f"tracking.experiment: {experiment[:60]!r} is deleted in the store; {restore}, or set another name"


def unusable(uri: str, error: Exception) -> str:
    """What to tell of a store that cannot be used."""
    way_out = "move the file away and run again" if uri.startswith("sqlite") else "start the server or set tracking.uri"
    return f"{shown(uri)}: not usable as MLflow's store ({cut(str(error), 120)}); {way_out}"


def shown(uri: str) -> str:
    """A store's address without the password that it may hold."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark and "@" in rest.partition("/")[0] else uri


def _path(uri: str) -> Path:
    return Path(unquote(uri.removeprefix(FILE).partition("?")[0]))


def _in_file(uri: str, experiment: str) -> tuple[str, str] | None:
    path = _path(uri)
    if not path.is_file():
        return None
    store = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=SECONDS)
    try:
        row = store.execute(STATE, (experiment,)).fetchone()
    except sqlite3.OperationalError:  # no tables yet, or another process writes
        return None
    except sqlite3.DatabaseError as error:
        raise UserError(unusable(uri, error)) from error
    finally:
        store.close()
    return (str(row[0]), str(row[1])) if row else None


def _at_server(uri: str, experiment: str) -> tuple[str, str] | None:
    import requests

    try:
        probe(uri)
        answer = requests.get(f"{uri.rstrip('/')}{GET}", {"experiment_name": experiment}, timeout=SECONDS)
        found = answer.json()["experiment"]
        return str(found["experiment_id"]), str(found["lifecycle_stage"])
    except (UserError, OSError, ValueError, KeyError, TypeError):  # away, locked up, or without that experiment
        return None
