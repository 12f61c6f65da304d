"""Workspaces put on a PostgreSQL server."""

import shutil
from collections.abc import Callable

import pytest

from ml.workspace import Workspace
from tests.conftest import ROOT


@pytest.fixture
def use(postgres, monkeypatch) -> Callable[[str, Workspace], None]:
    """A function that puts a workspace on a database, made where there is none; what comes after uses that."""
    made = {row[0] for row in postgres.query("SELECT datname FROM pg_database")}

    def put(database: str, ws: Workspace) -> None:
        shutil.copy2(ROOT / "deploy" / "servers" / "dagster.yaml", ws.root / ".dagster" / "dagster.yaml")
        if database not in made:
            postgres.create(database)
            made.add(database)
        for name, value in postgres.settings(database).items():
            monkeypatch.setenv(name, value)

    return put
