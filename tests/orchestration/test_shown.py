"""What Dagster's page links to beside a stage."""

import shutil
from pathlib import Path

import pytest

from ml.training.tracking import browse
from ml.workspace import Workspace, stages
from ml.workspace.settings import load
from orchestration.freshness.staleness import State
from orchestration.shown import Shown

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("served", ["http://127.0.0.1:8001", None])
def test_assets_lead_to_their_data_where_it_is_served(tmp_path, monkeypatch, served):
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    ws = Workspace(tmp_path)
    monkeypatch.delenv(browse.BROWSE_PAGE, raising=False)
    if served:
        monkeypatch.setenv(browse.BROWSE_PAGE, served)
    known = [State(name, "missing", [], {}) for name in stages.load(ws)]
    shown = Shown.of(ws, load(ws.params_file), known)
    links = {state.name: shown.metadata(state.name).get("browse") for state in known}
    found = {name: link.value for name, link in links.items() if link}
    wanted = {"mask_index", "pseudo_labels", "training_set", "benchmark_scores"}
    assert found.keys() >= wanted if served else not found
    assert all(address.startswith(f"{served}/browse#page=") for address in found.values())
