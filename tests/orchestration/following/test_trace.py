"""`arrcoc trace` of a run that is older than today's dvc.yaml, and of a full run id."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.store.entities.paged_list import PagedList

from ml.errors import UserError
from ml.workspace import Workspace
from ml.workspace.settings import preset
from orchestration.following import runs, trace

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
    """Two runs, of which a search answers one a page."""

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, experiments: list[str], page_token: str | None) -> PagedList:
        run, token = ("b" * 32, None) if page_token else ("a" * 32, "more")
        return PagedList([SimpleNamespace(info=SimpleNamespace(run_id=run))], token)


@pytest.mark.parametrize("letter", ["a", "b"])
def test_a_run_is_found_on_whichever_page_it_is(letter: str) -> None:
    for prefix in (letter * 4, letter * 32):
        assert runs._by_prefix(Store(), preset("smoke"), prefix) == letter * 32


def test_a_run_of_no_page_is_named() -> None:
    with pytest.raises(UserError, match="no such run"):
        runs._by_prefix(Store(), preset("smoke"), "c" * 32)
