"""Dagster's PostgreSQL away while a stage trains: no work is lost, whether it comes back meanwhile or not."""

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from ml.compute.pool import open_pool
from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration.instance import patience
from orchestration.instance.opened import instance
from orchestration.runs import run as running
from orchestration.runs.outcome import Outcome
from tests.faults.disturbed import tracked

ROOT = Path(__file__).parents[3]
STAGE = "relevance_learning"


class Silent:
    def begin(self, state: object) -> None: ...
    def shard(self, *_: object) -> None: ...
    def end(self, *_: object) -> None: ...


def run(ws: Workspace, params: Params) -> Outcome:
    with closing(open_pool(params.shards)) as pool:
        return running.run(ws, params, STAGE, Silent(), pool)


@pytest.fixture
def stale(finished, tmp_path, use, monkeypatch) -> Workspace:
    """A finished line on PostgreSQL, one stage of training of which is stale."""
    ws = Workspace(tmp_path / "line")
    shutil.copytree(finished.root, ws.root)
    use(f"outage_{tmp_path.name}", ws)
    monkeypatch.chdir(ws.root)  # DVC wants to be inside
    text = ws.params_file.read_text()
    ws.params_file.write_text(text.replace(f"{STAGE}: {{steps: 4", f"{STAGE}: {{steps: 6"))
    return ws


def when_training(ws: Workspace, do: Callable[[], None]) -> threading.Thread:
    """Do something as soon as the stage's processes have begun to tell of it."""

    def wait() -> None:
        deadline = time.monotonic() + 300
        while not list((ws.data / ".keys" / "journal").glob(f"*_{STAGE}_*/events.jsonl")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.slow
def test_one_that_stays_away_ends_the_run_in_one_line_and_costs_no_work(stale, postgres, monkeypatch, capfd):
    params = load(stale.params_file)
    monkeypatch.setattr(patience, "SECONDS", 1.0)
    outage = when_training(stale, postgres.stop)
    try:
        with pytest.raises(UserError, match="start its server or correct what") as error:
            run(stale, params)
    finally:
        outage.join()
        postgres.start()
    assert "\n" not in str(error.value) and "Traceback" not in capfd.readouterr().err
    made = tracked(stale.root)
    outcome = run(stale, params)
    assert (outcome.materialized, outcome.fresh, outcome.errors) == ([], [STAGE], {})
    assert tracked(stale.root) == made
    with instance(stale) as found:
        assert found.get_latest_materialization_event(dg.AssetKey(STAGE))
        assert {run.status.name for run in found.get_runs()} == {"FAILURE"}


@pytest.mark.slow
def test_one_that_comes_back_meanwhile_is_waited_for(stale, postgres, capfd):
    def away() -> None:
        postgres.stop()
        time.sleep(15)  # longer than Dagster itself would try
        postgres.start()

    outage = when_training(stale, away)
    outcome = run(stale, load(stale.params_file))
    outage.join()
    assert (outcome.materialized, outcome.errors) == ([STAGE], {})
    assert "Traceback" not in capfd.readouterr().err
    with instance(stale) as found:
        assert {run.status.name for run in found.get_runs()} == {"SUCCESS"}
