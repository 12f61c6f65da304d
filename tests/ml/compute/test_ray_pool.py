"""A Ray pool does what the local one does, on a cluster of which a node dies; what is missing is one clear line."""

import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from ml import pipeline
from ml.compute.pool import ShardPool, open_pool
from ml.compute.ray_pool import RayPool
from ml.errors import UserError
from ml.params import Params
from ml.sa1b import sharding
from ml.sa1b.sharding import Recipe
from ml.workspace import Workspace, keys
from ml.workspace.report import Report
from ml.workspace.settings import preset
from tests.clusters.ray import MEGABYTES_80, ray_cluster

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")

SHARDS = 6


def test_params_or_the_environment_choose_the_pool(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    local = preset("smoke").shards
    assert isinstance(open_pool(local), ShardPool)
    assert isinstance(open_pool(local.model_copy(update={"pool": "ray"})), RayPool)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert isinstance(open_pool(local), RayPool)


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "nonsense", "127.0.0.1:x"])
def test_an_address_where_no_cluster_is_is_named_at_once(monkeypatch, address):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = address.format(port=free.getsockname()[1])
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError) as error:
        list(RayPool(0).map(str.upper, ["sa_000000"]))
    assert address in str(error.value) and "unset it" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'arrcoc\[ray\]'.*shards.pool to local"):
        list(RayPool(0).map(str.upper, ["sa_000000"]))


# --- on a cluster of this machine ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """A head without cores, so that all work is done on the nodes that a test adds."""
    quick = {"health_check_period_ms": 300, "health_check_failure_threshold": 3}
    with ray_cluster(cores=0, **quick) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", found.address)
        yield found


def index_shard(ws: Workspace, params: Params, notes: Path, shard: str) -> Report:
    """Index a shard; notes who began, and who did the work to its end."""
    with (notes / f"{shard}.begun").open("a") as file:
        file.write(f"{os.environ.get('RAY_NODE_ID') or ray.get_runtime_context().get_node_id()}\n")
    time.sleep(1)  # long enough for a node to die meanwhile
    report = sharding.run_shard(pipeline.mask_index, Recipe.of("mask_index", ws, params), shard)
    if not report.skipped:
        with (notes / f"{shard}.done").open("a") as file:
            file.write("done\n")
    time.sleep(0.2)
    return report


@pytest.fixture(scope="module")
def drawn(make_checkout) -> tuple[Workspace, Params]:
    """A workspace with shards of two scenes."""
    params = preset("smoke")
    shards = params.shards.model_copy(update={"count": SHARDS, "workers": 1})
    toytown = params.toytown.model_copy(update={"images_per_shard": 2})
    params = params.model_copy(update={"shards": shards, "toytown": toytown})
    ws = Workspace(make_checkout("smoke").root)
    here("sa1b_shards", ws, params)
    return ws, params


def here(stage: str, ws: Workspace, params: Params) -> None:
    """Run a stage in this process."""
    for shard in sharding.partitions(stage, ws, params):
        sharding.run_shard(pipeline.SHARDED[stage], Recipe.of(stage, ws, params), shard)


@pytest.mark.slow
def test_a_node_that_dies_costs_only_what_it_had_not_finished(cluster, drawn, tmp_path):
    (ws, params), notes = drawn, tmp_path / "notes"
    notes.mkdir()
    alone = Workspace(tmp_path / "alone")
    shutil.copytree(ws.root, alone.root, symlinks=True)
    for _ in range(2):
        node = cluster.add_node(num_cpus=1, object_store_memory=MEGABYTES_80)
    shards = sharding.partitions("mask_index", ws, params)
    finished: list[str] = []
    with closing(RayPool(params.shards.retries)) as pool:
        for shard, _ in pool.map(partial(index_shard, ws, params, notes), shards):
            finished.append(shard)
            if len(finished) == 1:
                caught = _busy(notes, node.node_id)
                cluster.remove_node(node, allow_graceful=False)
    assert sorted(finished) == shards

    here("mask_index", alone, params)
    assert keys.cached_md5s(ws, ws.stage("mask_index")) == keys.cached_md5s(alone, alone.stage("mask_index"))
    begun = {shard: (notes / f"{shard}.begun").read_text().split() for shard in shards}
    assert {shard: (notes / f"{shard}.done").read_text() for shard in shards} == dict.fromkeys(shards, "done\n")
    assert len(begun[caught]) == 2 and begun[caught][0] == node.node_id != begun[caught][1]
    assert all(len(nodes) == 1 for shard, nodes in begun.items() if shard != caught)


def _busy(notes: Path, node: str) -> str:
    """The shard that a node is at work on; waits for one."""
    for _ in range(600):
        for path in notes.glob("*.begun"):
            if path.read_text().split() == [node] and not path.with_suffix(".done").exists():
                return path.stem
        time.sleep(0.01)
    raise AssertionError("the node was given nothing to do")


@pytest.mark.slow
def test_the_line_runs_on_ray_and_an_error_of_a_shard_is_its_own_words(cluster, drawn):
    node = cluster.add_node(num_cpus=1, object_store_memory=MEGABYTES_80)
    ws, params = drawn
    report = pipeline.run("mask_index", ws, params)
    assert report.skipped or report.numbers["images"] == 2 * SHARDS
    assert pipeline.run("mask_index", ws, params).skipped
    ws.shard_file("sa1b_shards", "sa_000001", ".tar").write_bytes(b"no tar")
    with pytest.raises(UserError, match=r"sa_000001\.tar") as error:
        pipeline.run("mask_index", ws, params)
    assert len(str(error.value).splitlines()) == 1
    cluster.remove_node(node)
