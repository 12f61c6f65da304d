"""Data versions against DVC's own hashing; code versions change with what is declared and nothing else."""

import pytest
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db.local import LocalHashFileDB
from dvc_objects.fs.local import LocalFileSystem

from ml.workspace import Workspace, stages
from ml.workspace.lineage import data_version
from ml.workspace.settings import preset, validate
from ml.workspace.snapshot import Snapshot
from orchestration.freshness.versions import code_version, shard_version


@pytest.fixture
def ws(tmp_path):
    return Workspace(tmp_path)


def md5_by_dvc(ws, path):
    fs = LocalFileSystem()
    _, _, found = build(LocalHashFileDB(fs, str(ws.root / "cache")), str(path), fs, "md5", dry_run=True)
    return found.hash_info.value


@pytest.mark.parametrize("names", [["a"], ["b", "a"], ["x/b", "x.y", "x/a/c", "ä", "z z"]])
def test_a_folder_has_the_md5_that_dvc_records(ws, names):
    folder = ws.data / "out"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name * 3)
    assert data_version(ws, folder) == md5_by_dvc(ws, folder)
    assert data_version(ws, folder / names[0]) == md5_by_dvc(ws, folder / names[0])


def test_what_is_half_written_or_missing_has_no_version(ws):
    folder = ws.data / "out"
    assert data_version(ws, folder) is None
    folder.mkdir(parents=True)
    (folder / ".shard.parquet.17.tmp").write_text("half")
    assert data_version(ws, folder) is None
    (folder / "shard.parquet").write_text("whole")
    assert data_version(ws, folder) == data_version(ws, folder)


def test_a_shard_has_the_version_of_all_its_files_or_none():
    line = stages.load(Workspace.find())
    tar, index = "sa_000000.tar", ["sa_000000.parquet", "sa_000000.rejects.parquet"]
    assert shard_version(line["sa1b_shards"], {tar: "1", "sa_000001.tar": "2"}, "sa_000000") == "1"
    assert shard_version(line["mask_index"], dict.fromkeys(index[:1], "1"), "sa_000000") is None
    both = [dict(zip(index, md5s, strict=True)) for md5s in ("12", "21", "13")]
    assert len({shard_version(line["mask_index"], files, "sa_000000") for files in both}) == 3


def test_a_code_version_changes_with_a_declared_param_and_no_other():
    ws = Workspace.find()
    stage, before = stages.stage(ws, "filtered_masks"), preset("smoke")
    raw = before.model_dump()
    tuned = validate(raw | {"filter": raw["filter"] | {"duplicate_iou": 0.5}}, "test")
    other = validate(raw | {"seed": 7}, "test")
    assert code_version(stage, Snapshot(ws), tuned) != code_version(stage, Snapshot(ws), before)
    assert code_version(stage, Snapshot(ws), other) == code_version(stage, Snapshot(ws), before)


def test_the_labels_code_version_changes_with_what_is_asked_and_what_lies_in_the_file_and_not_with_who_is_asked(
    make_checkout,
):
    ws, before = Workspace(make_checkout("smoke").root), preset("smoke")
    stage, raw = stages.stage(ws, "pseudo_labels"), before.model_dump()
    first = code_version(stage, Snapshot(ws), before)
    patient = raw["endpoint"] | {"url": "http://elsewhere/v1", "parallel": 1, "retries": 0, "timeout": 1.0}
    priced = patient | {"prompt_price": 1.0, "completion_price": 2.0}
    assert code_version(stage, Snapshot(ws), validate(raw | {"endpoint": priced}, "test")) == first
    for key, value in (("model", "b"), ("prompt", "Who?"), ("drawing", "dim"), ("crop_size", 99), ("max_tokens", 9)):
        openai = raw["labels"]["openai"] | {key: value}
        asked = validate(raw | {"labels": raw["labels"] | {"openai": openai}}, "test")
        assert code_version(stage, Snapshot(ws), asked) != first
    with (ws.root / before.labels.caption_file).open("a") as file:
        file.write("{}\n")
    edited = code_version(stage, Snapshot(ws), before)
    (ws.root / before.labels.caption_file).unlink()
    assert len({first, edited, code_version(stage, Snapshot(ws), before)}) == 3
