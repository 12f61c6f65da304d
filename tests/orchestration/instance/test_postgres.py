"""Dagster's store on PostgreSQL: filled as the embedded one is, one workspace's alone, waited for when it restarts."""

import shutil
import subprocess
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from ml.errors import UserError
from ml.workspace import Workspace, stages
from ml.workspace.snapshot import Snapshot
from orchestration.checkup.checkup import CHECKS
from orchestration.checkup.finding import Finding
from orchestration.freshness.versions import shard_version
from orchestration.instance import owner, patience
from orchestration.instance.opened import instance
from orchestration.instance.store import SERVERS
from tests.servers import PASSWORD

ROOT = Path(__file__).parents[3]
FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]


def known(ws: Workspace) -> dict[str, set[str]]:
    """The shards of each stage that Dagster has seen made."""
    with instance(ws) as found:
        return {name: set(found.get_materialized_partitions(dg.AssetKey(name))) for name in FIRST}


def test_a_workspace_that_moves_to_a_server_tells_it_all_and_goes_on_there(town, use):
    use("all", town.ws)
    assert town.run().fresh == FIRST
    shards = {"sa_000000", "sa_000001"}
    assert known(town.ws) == dict.fromkeys(FIRST, shards)
    town.edit(filter__predicted_iou=0.9)
    assert town.run().materialized == ["filtered_masks"]
    with instance(town.ws) as found:
        event = found.get_latest_materialization_event(dg.AssetKey("filtered_masks"))
        assert {run.status.name for run in found.get_runs()} == {"SUCCESS"}
    files = Snapshot(town.ws).listing(town.ws.stage("filtered_masks"))
    made = shard_version(stages.stage(town.ws, "filtered_masks"), files, event.dagster_event.partition)
    assert event.tags[DATA_VERSION_TAG] == made
    assert town.run().materialized == []


def test_two_workspaces_share_a_server_and_not_a_database(town, use, tmp_path):
    use("first", town.ws)
    town.run()
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(town.ws.root, copy.root)
    with pytest.raises(UserError, match=rf"Dagster's store is that of {town.ws.root} on .*createdb NAME") as error:
        known(copy)
    assert "\n" not in str(error.value)
    use("second", copy)
    assert known(copy) == {name: set() for name in FIRST}
    use("first", town.ws)
    town.ws.root.rename(tmp_path / "moved")
    assert known(Workspace(tmp_path / "moved"))["mask_index"] == {"sa_000000", "sa_000001"}
    (tmp_path / "moved" / ".dagster" / "workspace_id").unlink()  # as in a clone that shall go on in its place
    with pytest.raises(UserError, match="take it over"):
        known(Workspace(tmp_path / "moved"))
    subprocess.run(owner.TAKE_OVER, shell=True, check=True, capture_output=True)
    assert known(Workspace(tmp_path / "moved"))["mask_index"] == {"sa_000000", "sa_000001"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PGPORT", "9", "port 9 failed: Connection refused"),
        ("PGPASSWORD", "another", "failed: FATAL: password authentication failed"),
        ("PGDATABASE", "nowhere", 'failed: FATAL: database "nowhere" does not exist'),
        ("PGHOST", "nowhere.invalid", 'could not translate host name "nowhere.invalid"'),
    ],
)
def test_a_server_that_is_away_is_one_line_without_the_password(town, use, monkeypatch, capfd, name, value, words):
    use("away", town.ws)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.sleep", lambda _: None)  # between Dagster's tries
    with pytest.raises(UserError) as error:
        town.run()
    said = str(error.value)
    assert words in said and "start its server or correct what" in said and SERVERS in said
    assert "\n" not in said and "another" not in said and PASSWORD not in said and capfd.readouterr().err == ""


def test_a_variable_that_is_not_set_is_named(town, use, monkeypatch):
    use("away", town.ws)
    monkeypatch.delenv("PGHOST")
    with pytest.raises(UserError, match=r"dagster\.yaml: not set in the environment: PGHOST; "):
        town.run()


def test_the_checkup_looks_at_the_store(town, use, monkeypatch):
    use("looked_at", town.ws)
    assert checked(town.ws).found.endswith("dagster.yaml, whose store answers")
    monkeypatch.setenv("PGDATABASE", "nowhere")
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert checked(town.ws).state == "wrong" and checked(town.ws).mend.startswith("start its server or correct")


def checked(ws: Workspace) -> Finding:
    return next(check for check in CHECKS if check.name == "dagster").finding(ws)


def test_a_restart_in_the_middle_is_waited_for(town, use, postgres, capfd):
    use("restarted", town.ws)
    with instance(town.ws) as found:
        postgres.stop()
        starting = threading.Timer(2, postgres.start)
        starting.start()
        assert list(found.get_runs()) == []
        starting.join()
        postgres.restart()
        assert list(found.get_runs()) == []
    said = capfd.readouterr().err.splitlines()
    assert len([line for line in said if "does not answer" in line]) in (1, 2)
    assert all(line.startswith("arrcoc: Dagster's store ") for line in said)


def test_and_not_for_ever(town, use, postgres, monkeypatch):
    monkeypatch.setattr(patience, "SECONDS", 1.0)
    use("gone", town.ws)
    begun = time.monotonic()
    with pytest.raises(UserError, match="start its server"), instance(town.ws) as found:
        postgres.stop()
        try:
            found.get_runs()
        finally:
            postgres.start()
    assert time.monotonic() - begun < 60
