"""`arrcoc trace` of a run that is older than today's dvc.yaml, and of a full run id."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from ml.commands import runs, trace
from ml.params import preset
from ml.workspace import Workspace

DVC = """
stages:
  first: {cmd: "true", outs: [data/first]}
  added: {cmd: "true", outs: [data/added]}
  last: {cmd: "true", deps: [data/first, data/added], outs: [data/last]}
"""
LINE: dict[str, Any] = {
    "gone": {"deps": {}, "params": {}, "out": "0.dir"},
    "first": {"deps": {"data/gone": "0.dir"}, "params": {}, "out": "1.dir"},
    "added": {"deps": {}, "params": {}, "out": "2.dir"},
    "last": {"deps": {"data/first": "9.dir"}, "params": {}, "out": "3.dir"},
}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "dvc.yaml").write_text(DVC)
    return Workspace(tmp_path)


def test_what_a_run_did_not_know_is_passed_over(ws: Workspace) -> None:
    found = SimpleNamespace(ws=ws, makers={})
    inputs = {name: trace._stage(name, made, found)["inputs"] for name, made in LINE.items()}  # type: ignore[arg-type]
    assert inputs == {"gone": {}, "first": {}, "added": {}, "last": {"first": "9.dir"}}
    states = {row["path"]: row["state"] for row in trace.verified(ws, LINE)}
    folders = dict.fromkeys(["data/first", "data/added", "data/last"], "absent")
    assert states == folders | {"data/first as last read it": "differs"}


class Store:
    """Many runs, of which a search sees none."""

    def get_run(self, run: str) -> Any:
        if run != "a" * 32:
            raise MlflowException("no such run")
        return SimpleNamespace(info=SimpleNamespace(run_id=run))

    def get_experiment_by_name(self, name: str) -> None:
        return None


def test_a_full_run_id_needs_no_search() -> None:
    assert runs._by_prefix(Store(), preset("smoke"), "a" * 32) == "a" * 32
    with pytest.raises(runs.UserError, match="no such run"):
        runs._by_prefix(Store(), preset("smoke"), "b" * 32)
