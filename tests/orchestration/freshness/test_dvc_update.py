"""A few new files of many: what is written to `dvc.lock` and DVC's cache is what `dvc commit` would have written."""

import json
import stat

import pytest
import yaml
from dvc.repo import Repo

from orchestration.freshness import dvc_update
from orchestration.freshness.dvc_lock import cache_folder

FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]


@pytest.fixture
def by_dvc(monkeypatch) -> list[str]:
    """The stages that DVC itself has committed."""
    done, commit = [], Repo.commit

    def counted(self, target=None, **options):
        done.append(target.rpartition(":")[2])
        return commit(self, target, **options)

    monkeypatch.setattr(Repo, "commit", counted)
    return done


def changed_in_dvc(town) -> set[str]:
    with Repo(str(town.ws.root)) as repo:
        return {
            name.rpartition(":")[2]
            for name in repo.status(targets=[f"{town.ws.root / 'dvc.yaml'}:{name}" for name in FIRST])
        }


def test_data_alone_is_recorded_without_dvc_and_as_dvc_would(many, by_dvc):
    many.ws.shard_file("sa1b_shards", "sa_000031", ".tar").unlink()
    assert many.run().materialized == FIRST
    assert by_dvc == []
    assert changed_in_dvc(many) == set()
    lock = many.ws.root / "dvc.lock"
    ours = lock.read_bytes()
    with Repo(str(many.ws.root)) as repo:
        for name in FIRST:
            repo.commit(f"{many.ws.root / 'dvc.yaml'}:{name}", force=True)
    assert lock.read_bytes() == ours
    objects = [path for path in cache_folder(many.ws).rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in objects} == {0o444}


def test_params_and_code_are_left_to_dvc(town, by_dvc):
    town.edit(filter__predicted_iou=0.9)
    with (town.ws.root / "ml" / "toytown" / "world" / "draw.py").open("a") as file:
        file.write("# a remark\n")
    assert town.run().materialized == ["sa1b_shards", "filtered_masks"]
    assert by_dvc == ["sa1b_shards", "filtered_masks"]
    assert changed_in_dvc(town) == set()


@pytest.mark.parametrize("odd", ["kind of cache", "autostage", "entry", "none"])
def test_what_is_out_of_the_ordinary_is_left_to_dvc(many, by_dvc, odd):
    lock, config = many.ws.root / "dvc.lock", many.ws.root / ".dvc" / "config"
    many.ws.shard_file("sa1b_shards", "sa_000031", ".tar").unlink()
    if odd == "kind of cache":
        config.write_text(f"{config.read_text()}[cache]\n    type = hardlink\n")
    elif odd == "autostage":
        config.write_text(config.read_text().replace("autostage = false", "autostage = true"))
    elif odd == "entry":  # as a person, or another program, would write it
        lock.write_text(json.dumps(yaml.safe_load(lock.read_text()), indent=1))
    else:
        lock.unlink()
    assert many.run().materialized == by_dvc == FIRST
    assert changed_in_dvc(many) == set()


def test_a_record_of_other_data_than_lies_there_is_left_to_dvc(town):
    from ml.workspace import stages
    from ml.workspace.snapshot import Snapshot

    stage = stages.stage(town.ws, "mask_index")
    assert dvc_update._data_alone_differs(stage, Snapshot(town.ws))
    town.ws.shard_file("mask_index", "sa_000000", ".parquet").write_bytes(b"tampered with")
    assert not dvc_update._data_alone_differs(stage, Snapshot(town.ws))
