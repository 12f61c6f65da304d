"""What Dagster was told is noted for as long as it holds, and never hides what was made without Dagster."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import extract_data_version_from_entry

from ml.workspace import stages
from ml.workspace.snapshot import Snapshot
from orchestration.freshness.staleness import state_of
from orchestration.freshness.told import forget, note, told
from orchestration.freshness.versions import shard_version
from orchestration.runs.run import instance

FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]


def known_to_dagster(town, name: str) -> dict[str, str]:
    """The data version of each shard that Dagster has of it last."""
    with instance(town.ws) as found:
        partitions = found.get_materialized_partitions(dg.AssetKey(name))
        events = {
            shard: found.fetch_materializations(dg.AssetRecordsFilter(dg.AssetKey(name), asset_partitions=[shard]), 1)
            for shard in partitions
        }
    return {
        shard: extract_data_version_from_entry(event.records[0].event_log_entry).value
        for shard, event in events.items()
    }


def on_disk(town, name: str) -> dict[str, str]:
    """The same as it lies there."""
    files, stage = Snapshot(town.ws).listing(town.ws.stage(name)), stages.stage(town.ws, name)
    return {shard: shard_version(stage, files, shard) for shard in {file.partition(".")[0] for file in files}}


def arrcoc(town, *words: str) -> None:
    env = os.environ | {
        "PYTHONPATH": str(town.ws.root),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    subprocess.run(["arrcoc", *words], cwd=town.ws.root, env=env, check=True, stdout=subprocess.DEVNULL)


def version(town, name: str) -> str:
    return state_of(name, Snapshot(town.ws), town.params).version


def test_a_run_notes_each_stage_and_only_what_it_took(town):
    assert {name: told(town.ws, name) for name in FIRST} == {name: version(town, name) for name in FIRST}
    assert told(town.ws, "training_set") == ""
    forget(town.ws, "mask_index")
    assert [bool(told(town.ws, name)) for name in FIRST] == [True, False, True]
    note(town.ws, "mask_index", "what is wanted")
    assert told(town.ws, "mask_index") == "what is wanted"


def test_another_store_was_told_nothing(town, monkeypatch):
    config, before = town.ws.root / ".dagster" / "dagster.yaml", told(town.ws, "mask_index")
    text = config.read_text()
    config.write_text(text + "storage: {postgres: {postgres_url: {env: DAGSTER_TEST_STORE}}}\n")
    monkeypatch.setenv("DAGSTER_TEST_STORE", "one")
    assert told(town.ws, "mask_index") == ""
    note(town.ws, "mask_index", before)
    assert told(town.ws, "mask_index") == before
    monkeypatch.setenv("DAGSTER_TEST_STORE", "another")
    assert told(town.ws, "mask_index") == ""
    config.write_text(text)
    assert told(town.ws, "mask_index") == before


@pytest.mark.slow
def test_a_shard_made_without_dagster_is_told_with_the_next_that_is_made(many):
    lost = [many.ws.shard_file("sa1b_shards", f"sa_0000{number}", ".tar") for number in (11, 31)]
    before = lost[0].read_bytes()
    lost[0].unlink()
    arrcoc(many, "stage", "sa1b_shards", "--shard", "sa_000011")
    assert lost[0].read_bytes() != before
    lost[1].unlink()
    assert many.run().materialized == FIRST
    assert many.watcher.shards[0] == ("sa1b_shards", "sa_000031")
    for name in FIRST:
        assert known_to_dagster(many, name) == on_disk(many, name)


def test_data_that_dvc_restored_is_told_with_the_next_that_is_made(many):
    """Other bytes came back with their lock: Dagster knows none of them, though it was told of all before."""
    before = {name: (many.ws.data / ".." / "kept" / name) for name in FIRST}
    for name, folder in before.items():
        shutil.copytree(many.ws.stage(name), folder)
    lock = (many.ws.root / "dvc.lock").read_bytes()
    many.ws.shard_file("sa1b_shards", "sa_000031", ".tar").unlink()
    assert many.run().materialized == FIRST
    for name, folder in before.items():
        shutil.rmtree(many.ws.stage(name))
        shutil.copytree(folder, many.ws.stage(name))
    (many.ws.root / "dvc.lock").write_bytes(lock)
    assert many.stale() == set()
    many.ws.shard_file("sa1b_shards", "sa_000011", ".tar").unlink()
    assert many.run().materialized == FIRST
    assert known_to_dagster(many, "sa1b_shards") == on_disk(many, "sa1b_shards")


def test_one_lost_shard_costs_events_of_its_own_alone(many):
    with instance(many.ws) as found:
        before = found.event_log_storage.get_maximum_record_id()
    many.ws.shard_file("sa1b_shards", "sa_000031", ".tar").unlink()
    assert many.run().materialized == FIRST
    with instance(many.ws) as found:
        after = found.event_log_storage.get_maximum_record_id()
    assert after - before < 10 * len(FIRST)
    for name in FIRST:
        assert known_to_dagster(many, name) == on_disk(many, name)
