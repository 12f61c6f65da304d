"""The embedded store belongs to where it lies: MLflow keeps absolute paths, a checkout is moved and copied."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ml.workspace import Workspace

WAIT_SECONDS = 60.0  # for another process that writes
ARTIFACTS = "mlflow/artifacts"  # below a workspace


def follow(ws: Workspace) -> None:
    """Where the store's locations are of another place, write this workspace's into all of its tables, or none.

    Raises:
        sqlite3.Error: the file is no database, or cannot be written.
    """
    path = ws.root / "mlflow" / "mlflow.db"
    if not path.is_file():
        return
    with closing(sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)) as store:
        if not _moved(store, ws):
            return
        store.execute("BEGIN IMMEDIATE")
        try:
            for old in _moved(store, ws):
                _rewrite(store, old.as_uri(), ws.root.absolute().as_uri())
                _rewrite(store, str(old), str(ws.root.absolute()))
            store.execute("COMMIT")
        except BaseException:
            store.execute("ROLLBACK")
            raise


def _moved(store: sqlite3.Connection, ws: Workspace) -> list[Path]:
    """The roots of workspaces other than this one that experiments keep their artifacts in."""
    if not store.execute("SELECT name FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return []
    uris = [row[0] for row in store.execute("SELECT artifact_location FROM experiments") if row[0]]
    ours = [uri for uri in uris if uri.startswith("file:") and uri.endswith(f"/{ARTIFACTS}")]
    roots = {Path(url2pathname(urlsplit(uri).path)).parents[1] for uri in ours}
    return sorted(root for root in roots if root.resolve() != ws.root.resolve())


def _rewrite(store: sqlite3.Connection, old: str, new: str) -> None:
    """Put `new` in the place of `old` wherever a text begins with it; what goes on with the same letters is another."""
    for table, column in _texts(store):
        store.execute(
            f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) WHERE substr("{column}", 1, ?) = ?',
            (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
        )


def _texts(store: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Every column of text: the tables that hold a location are others with each release of MLflow."""
    tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (table,) in tables.fetchall():
        for _, column, kind, *_ in store.execute(f'PRAGMA table_info("{table}")').fetchall():
            if "CHAR" in kind.upper() or "TEXT" in kind.upper():
                yield table, column
