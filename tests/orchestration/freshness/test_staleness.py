"""What goes stale by an edit, why, and what a run then does; Dagster's own resolver and DVC must say the same."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from dvc.repo import Repo

from ml.compute.pool import open_pool
from ml.errors import UserError
from ml.workspace import Workspace
from ml.workspace.settings import preset
from ml.workspace.snapshot import Snapshot
from orchestration.definitions import build
from orchestration.freshness.lock import exclusive
from orchestration.freshness.staleness import recorded, state_of
from orchestration.instance.opened import instance
from orchestration.provenance import tell
from orchestration.runs.run import ranges, run

FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]


def stale_in_dagster(town) -> set[str]:
    """The stages with a partition that Dagster's page marks."""
    graph = build(town.ws, town.params).resolve_asset_graph()
    with instance(town.ws) as found:
        resolver = CachingStaleStatusResolver(found, graph, LoadingContextForTest(found))
        return {
            name
            for name in FIRST
            for shard in graph.get(dg.AssetKey(name)).partitions_def.get_partition_keys()
            if resolver.get_status(dg.AssetKey(name), shard).value != "FRESH"
        }


def changed_in_dvc(town) -> set[str]:
    with Repo(str(town.ws.root)) as repo:
        changed = repo.status(targets=[f"{town.ws.root / 'dvc.yaml'}:{name}" for name in FIRST])
    return {name.rpartition(":")[2] for name in changed}


def append(town, file: str, text: str) -> None:
    with (town.ws.root / file).open("a") as stream:
        stream.write(text)


def test_after_a_run_nothing_is_stale_and_a_second_run_does_nothing(town):
    assert town.stale() == stale_in_dagster(town) == changed_in_dvc(town) == set()
    outcome = town.run()
    assert (outcome.materialized, outcome.fresh, town.watcher.shards) == ([], FIRST, [])


def test_a_threshold_makes_its_stage_stale_and_says_from_what_to_what(town):
    town.edit(filter__predicted_iou=0.9)
    assert town.stale() == stale_in_dagster(town) == changed_in_dvc(town) == {"filtered_masks"}
    assert town.states()["filtered_masks"].reasons == ["param filter.predicted_iou: 0.88 -> 0.9"]
    outcome = town.run()
    assert (outcome.materialized, outcome.fresh) == (["filtered_masks"], FIRST[:2])
    assert town.stale() == stale_in_dagster(town) == changed_in_dvc(town) == set()


def test_code_that_makes_the_same_bytes_stops_there(town):
    append(town, "ml/toytown/world/draw.py", "\n# a remark\n")
    assert town.stale() == stale_in_dagster(town) == changed_in_dvc(town) == {"sa1b_shards"}
    assert town.states()["sa1b_shards"].reasons == ["code ml/toytown/world/draw.py changed"]
    assert town.run().materialized == ["sa1b_shards"]
    assert town.stale() == stale_in_dagster(town) == changed_in_dvc(town) == set()


def test_what_no_stage_declares_makes_nothing_stale(town):
    append(town, "README.md", "words")
    append(town, "orchestration/cli.py", "# a remark")
    town.edit(shards__workers=2, release__max_drop=3.0, training__batch_size=4)
    assert town.stale() == stale_in_dagster(town) == changed_in_dvc(town) == set()


def test_one_lost_shard_is_made_again_alone(town):
    town.ws.shard_file("mask_index", "sa_000001", ".parquet").unlink()
    state = town.states()["mask_index"]
    assert (state.state, state.shards) == ("stale", {"sa_000000": "fresh", "sa_000001": "missing"})
    assert state.to_json()["shards"] == {"fresh": 1, "stale": 0, "missing": 1}
    assert town.run().materialized == ["mask_index"]
    assert town.watcher.shards == [("mask_index", "sa_000001")]
    assert town.stale() == stale_in_dagster(town) == changed_in_dvc(town) == set()


@pytest.mark.slow
def test_an_output_tampered_with_is_noticed_and_made_again(town):
    path = town.ws.shard_file("mask_index", "sa_000000", ".parquet")
    before = path.read_bytes()
    path.write_bytes(before + b"more")
    assert town.stale() == changed_in_dvc(town) == {"mask_index", "filtered_masks"}
    assert "data/mask_index is not as it was made" in town.states()["mask_index"].reasons
    assert town.states()["filtered_masks"].reasons == ["upstream mask_index changed"]
    assert town.run().materialized == ["mask_index"]
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_new_shard_is_made_alone_and_a_removed_one_leaves_nothing(town):
    town.edit(shards__count=3)
    assert changed_in_dvc(town) <= town.stale() == set(FIRST)
    assert town.states()["sa1b_shards"].shards == {"sa_000000": "fresh", "sa_000001": "fresh", "sa_000002": "missing"}
    assert town.run().materialized == FIRST
    assert {shard for _, shard in town.watcher.shards} == {"sa_000002"}
    town.edit(shards__count=2)
    assert town.run().materialized == FIRST
    assert town.watcher.shards == []
    assert not list(town.ws.data.glob("*/sa_000002*"))
    assert town.stale() == stale_in_dagster(town) == changed_in_dvc(town) == set()


def test_other_bytes_with_the_time_of_modification_kept_are_noticed_by_all_three(town):
    path = town.ws.shard_file("mask_index", "sa_000000", ".parquet")
    before, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert town.stale() == {"mask_index", "filtered_masks"}
    assert changed_in_dvc(town) == {"mask_index", "filtered_masks"}
    with instance(town.ws) as found:
        tell(found, town.ws, town.params)
    assert "mask_index" in stale_in_dagster(town)
    assert town.run().materialized == ["mask_index"]
    assert path.read_bytes() == data


@pytest.mark.parametrize("store", ["history/runs.db", "schedules/schedules.db"])
def test_a_store_of_dagster_that_is_none_is_one_line_that_mends_it(town, store):
    (town.ws.root / ".dagster" / store).write_bytes(b"rubbish" * 1000)
    with pytest.raises(UserError, match=r"Dagster's store can't be used .* rm -r ") as error:
        town.run()
    assert "\n" not in str(error.value)
    for folder in ("history", "schedules", "storage"):
        shutil.rmtree(town.ws.root / ".dagster" / folder, ignore_errors=True)
    assert town.run().materialized == []


@pytest.mark.slow
def test_data_that_dvc_restored_is_believed(town):
    shutil.rmtree(town.ws.data / ".keys")
    assert town.stale() == set()
    outcome = town.run()
    assert outcome.materialized == []
    assert stale_in_dagster(town) == set()


@pytest.mark.slow
def test_without_any_record_a_stage_runs_again(town):
    for name in FIRST:
        (town.ws.data / ".keys" / f"{name}.json").unlink()
    (town.ws.root / "dvc.lock").unlink()
    assert town.states()["mask_index"].reasons == ["nothing tells what it was made from"]
    town.run()
    assert town.stale() == changed_in_dvc(town) == set()


@pytest.mark.slow
def test_dvc_repro_does_the_same_work_and_dagster_is_told(town):
    town.edit(filter__predicted_iou=0.9)
    env = os.environ | {
        "PYTHONPATH": str(town.ws.root),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    subprocess.run(["dvc", "repro", "-q", "filtered_masks"], cwd=town.ws.root, env=env, check=True)
    assert town.stale() == changed_in_dvc(town) == set()
    assert stale_in_dagster(town) == {"filtered_masks"}
    assert town.run().materialized == []
    assert stale_in_dagster(town) == set()


def test_a_failing_stage_stops_what_is_below_it_and_is_told_in_one_line(town):
    source = town.ws.root / "source"
    source.mkdir()
    (source / "sa_000000.tar").write_bytes(b"no tar" * 1000)
    town.edit(shards__source=str(source), shards__count=1)
    outcome = town.run()
    assert (outcome.failed, outcome.blocked) == (FIRST[:1], FIRST[1:])
    assert "sa_000000.tar" in outcome.errors["sa1b_shards"]
    assert "\n" not in outcome.errors["sa1b_shards"]
    assert not outcome.crashed


def test_a_file_that_a_param_names_is_missed_by_name_and_its_change_is_told(tmp_path):
    ws, params = Workspace(tmp_path), preset("smoke")
    (tmp_path / "dvc.yaml").write_text('stages: {a: {cmd: a, deps: ["${labels.caption_file}"], outs: [data/a]}}')
    file = tmp_path / params.labels.caption_file
    lacking = rf"^a: {params.labels.caption_file} is no file; correct labels.caption_file"
    with pytest.raises(UserError, match=lacking), recorded("a", ws, params):
        pass
    assert state_of("a", Snapshot(ws), params).reasons == [
        f"{params.labels.caption_file} is missing",
        "data/a is missing",
    ]
    for path in (file, tmp_path / "data" / "a"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    with recorded("a", ws, params):
        pass
    assert state_of("a", Snapshot(ws), params).state == "fresh"
    file.write_text("[]")
    assert state_of("a", Snapshot(ws), params).reasons == [f"{params.labels.caption_file} changed"]


def test_a_selection_that_names_no_stage_says_what_there_is(town):
    with pytest.raises(UserError, match=r"--select 'mask_idnex'.*mask_index"):
        run(town.ws, town.params, "mask_idnex", town.watcher, open_pool(town.params.shards))


def test_a_second_run_at_once_is_refused(town):
    with exclusive(town.ws):
        code = (
            "from pathlib import Path; from ml.workspace import Workspace\n"
            "from orchestration.freshness.lock import exclusive\n"
            f"with exclusive(Workspace(Path({str(town.ws.root)!r}))): pass"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "another run is under way here" in done.stderr


def test_stale_shards_are_run_as_ranges_of_neighbours():
    shards = ["a", "b", "c", "d", "e"]
    assert ranges(shards, ["a", "b", "d"]) == [("a", "b"), ("d", "d")]
    assert ranges(shards, shards) == [("a", "e")]
    assert ranges(shards, []) == []
