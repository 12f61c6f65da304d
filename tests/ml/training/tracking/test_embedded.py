"""The embedded store goes where its workspace goes."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ml.training.tracking import embedded, store, tracking
from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration.following import runs

Make = Callable[..., Workspace]
STAGE = "mask_region_alignment"


def run(ws: Workspace, text: str) -> str:
    with tracking.start(ws, load(ws.params_file), STAGE) as opened:
        (ws.stage(STAGE) / "model.safetensors").write_text(text)
    return str(opened.id)


def test_a_moved_workspace_finds_its_runs_and_leaves_the_old_place_alone(workspace: Make, tmp_path: Path) -> None:
    old = workspace()
    first = run(old, "one")
    ws = Workspace(tmp_path / "new place %20 ü?")
    old.root.rename(ws.root)
    assert STAGE in runs.find(ws, load(ws.params_file), first).line
    second = run(ws, "two")
    assert (ws.root / "mlflow" / "artifacts" / second / "artifacts" / "lineage.json").is_file()
    assert not old.root.exists()


def test_a_copy_writes_nothing_into_its_original(workspace: Make, tmp_path: Path) -> None:
    old = workspace()
    first = run(old, "one")
    ws = Workspace(tmp_path / f"{old.root.name}2")  # the old name goes on with the same letters
    shutil.copytree(old.root, ws.root)
    second = run(ws, "two")
    assert {path.name for path in (old.root / "mlflow" / "artifacts").iterdir()} == {first}
    assert {path.name for path in (ws.root / "mlflow" / "artifacts").iterdir()} == {first, second}
    made = json.loads((ws.root / "mlflow/artifacts" / second / "artifacts/lineage.json").read_text())
    assert made[STAGE]["out"] == runs.find(ws, load(ws.params_file), second).line[STAGE]["out"]
    assert run(old, "three") in {path.name for path in (old.root / "mlflow" / "artifacts").iterdir()}


def test_every_table_that_holds_a_location_follows(workspace: Make, tmp_path: Path) -> None:
    old = workspace()
    store.experiment(store.connect(old, load(old.params_file)), old, load(old.params_file))
    ws = Workspace(tmp_path / "moved")
    before = (old.root / "mlflow" / "artifacts").as_uri()
    old.root.rename(ws.root)
    database = ws.root / "mlflow" / "mlflow.db"
    with sqlite3.connect(database) as table:
        table.execute("INSERT INTO registered_models (name, creation_time) VALUES ('m', 0)")
        columns = "name, version, source, storage_location, current_stage"
        table.execute(f"INSERT INTO model_versions ({columns}) VALUES ('m', 1, ?, ?, 'None')", [f"{before}/m"] * 2)
        table.execute(
            f"INSERT INTO model_versions ({columns}) VALUES ('m', 2, 's3://b/m', ?, 'None')", [f"{before}2/m"]
        )
    embedded.follow(ws)
    with sqlite3.connect(database) as table:
        found = table.execute("SELECT source, storage_location FROM model_versions ORDER BY version").fetchall()
    after = (ws.root / "mlflow" / "artifacts").as_uri()
    # What only begins with the same letters below the workspace moved with it all the same.
    assert found == [(f"{after}/m", f"{after}/m"), ("s3://b/m", f"{after}2/m")]
