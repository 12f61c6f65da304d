"""`arrcoc sync`, with the command a user types."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ml.training.launchers.processes import free_port
from ml.training.tracking.journal import Journal
from ml.workspace import Workspace
from ml.workspace.settings import load

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    shutil.copy2(ROOT / "dvc.yaml", tmp_path)
    shutil.copy2(ROOT / "ml" / "presets" / "smoke.yaml", tmp_path / "params.yaml")
    return Workspace(tmp_path)


def sync(ws: Workspace, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestration.cli", "sync", *options]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ws.root, env=env, capture_output=True, text=True, timeout=120)


def test_with_nothing_pending_no_store_is_asked(ws: Workspace) -> None:
    done = sync(ws)
    assert (done.returncode, done.stdout) == (0, "Nothing is pending.\n")
    assert not (ws.root / "mlflow").exists()


def test_it_sends_what_is_pending_or_says_in_one_line_that_the_store_is_away(ws: Workspace) -> None:
    kept = Journal.begin(ws, "relevance_learning", load(ws.params_file).tracking.experiment)
    kept.metrics({"loss": 1.0}, 1)
    kept.end("FINISHED", out="none")
    raw = yaml.safe_load(ws.params_file.read_text())
    raw["tracking"]["uri"] = f"http://127.0.0.1:{free_port()}"
    ws.params_file.write_text(yaml.safe_dump(raw))
    away = sync(ws, "--json")
    assert away.returncode == 2 and len(away.stderr.splitlines()) == 1 and raw["tracking"]["uri"] in away.stderr
    assert "error" in json.loads(away.stdout) and kept.folder.is_dir()
    raw["tracking"]["uri"] = None
    ws.params_file.write_text(yaml.safe_dump(raw))
    done = sync(ws, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and [run["stage"] for run in found["sent"]] == ["relevance_learning"]
    assert found["refused"] == found["running"] == [] and not kept.folder.exists()
