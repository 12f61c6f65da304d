"""One stale shard: what needs no models is done here, the rest in a process that got ready meanwhile."""

import multiprocessing
import os
import shutil
import signal
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from ml.compute.pool import ShardPool
from ml.errors import UserError
from ml.labeling.language.english import SMALL
from orchestration.runs import ahead
from orchestration.runs.ahead import Ahead, pool_ahead

SECONDS = 1000.0


@pytest.fixture
def pool(monkeypatch):
    monkeypatch.setattr(ahead, "_get_ready", process)
    with closing(Ahead(ShardPool(2), SMALL)) as found:
        yield found


def process(_: str) -> int:
    return os.getpid()


def refuse(shard: str) -> None:
    raise UserError(f"{shard}: is refused")


def die(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def endless(_: str) -> None:
    time.sleep(SECONDS)


def loaded(module: str, _: str) -> bool:
    return module in sys.modules


def test_each_piece_of_work_finds_its_process(pool):
    ((_, here),) = pool.map(process, ["a"])
    ((_, there),) = pool.map(process, ["a"], gpu=True)
    ((_, again),) = pool.map(process, ["b"], gpu=True)
    several = {found for _, found in pool.map(process, [f"sa_{number}" for number in range(8)], gpu=True)}
    assert here == os.getpid() != there == again
    assert not {here, there} & several
    assert list(pool.map(process, [])) == []


def test_what_went_wrong_keeps_its_words(pool):
    with pytest.raises(UserError, match=r"^a: is refused$"):
        list(pool.map(refuse, ["a"], gpu=True))
    with pytest.raises(UserError, match="a process was killed, most likely out of memory"):
        list(pool.map(die, ["a"], gpu=True))


def test_nobody_waits_for_what_is_of_no_use_any_more(monkeypatch):
    monkeypatch.setattr(ahead, "_get_ready", endless)
    begun = time.monotonic()
    with closing(Ahead(ShardPool(2), SMALL)):
        assert multiprocessing.active_children() != []
    assert time.monotonic() - begun < SECONDS / 10
    assert multiprocessing.active_children() == []


def test_only_one_stale_shard_is_prepared_for(town):
    town.edit(shards__workers=2)
    with closing(pool_ahead(town.ws, town.params)) as found:
        assert isinstance(found, ShardPool)  # nothing is stale
    town.ws.shard_file("mask_index", "sa_000001", ".parquet").unlink()
    with closing(pool_ahead(town.ws, town.params)) as found:
        assert isinstance(found, Ahead)
    town.ws.shard_file("sa1b_shards", "sa_000000", ".tar").unlink()
    town.ws.shard_file("sa1b_shards", "sa_000001", ".tar").unlink()
    with closing(pool_ahead(town.ws, town.params)) as found:
        assert isinstance(found, ShardPool)


@pytest.mark.slow
def test_what_models_take_is_imported_before_they_are_asked():
    with closing(Ahead(ShardPool(1), SMALL)) as found:
        for module in (*ahead.MODELS, "torch", "open_clip", "inflect"):
            assert list(found.map(partial(loaded, module), ["a"], gpu=True)) == [("a", True)]


@pytest.mark.slow
def test_a_shard_made_alone_has_the_bytes_that_it_had(finished, tmp_path: Path):
    checkout = type(finished)(tmp_path / "town")
    shutil.copytree(finished.root, checkout.root)
    files = [path for stage in ("pseudo_labels", "image_features") for path in lost(checkout.root, stage)]
    before = {path: path.read_bytes() for path in files}
    for path in files:
        path.unlink()
    outcome = checkout.json("arrcoc", "run", "--json", "--select", "pseudo_labels,image_features,training_set")
    assert outcome["materialized"] == ["pseudo_labels", "image_features"]
    assert [path for path, content in before.items() if path.read_bytes() != content] == []


def lost(root: Path, stage: str) -> list[Path]:
    return list((root / "data" / stage).glob("sa_000000.*"))
