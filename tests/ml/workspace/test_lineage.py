"""What dvc.lock says of a stage, and what is said where it can't be read."""

from pathlib import Path

import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import parse_yaml

from ml.errors import UserError
from ml.workspace import Workspace, lineage

LOCK = "schema: '2.0'\nstages:\n  first:\n    cmd: x\n    outs:\n    - {path: data/first, md5: 1.dir}\n"


def test_a_stage_of_the_lock(tmp_path: Path) -> None:
    assert lineage.locked(Workspace(tmp_path), "first") == {}
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert lineage.locked(Workspace(tmp_path), "first") == {"deps": {}, "params": {}, "out": "1.dir"}
    assert lineage.locked(Workspace(tmp_path), "second") == {}


def test_an_empty_lock_is_none(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("")
    assert lineage.locked(Workspace(tmp_path), "first") == {}


FULL = """schema: '2.0'
stages:
  first:
    cmd: arrcoc stage first
    deps:
    - path: ml/room
      hash: md5
      md5: 2c726d5740331c197caa5b492552e0f7.dir
      size: 7091
      nfiles: 2
    params:
      params.yaml:
        lr: 1e-05
        names: {a: '010', b: [1, yes]}
    outs:
    - path: data/first
      hash: md5
      md5: a01d77563dfd6e2863c1617f96e6a8b4.dir
      size: 225
      nfiles: 1
"""


def test_the_values_of_a_lock_are_those_that_dvc_reads(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(FULL)
    found = lineage.locked(Workspace(tmp_path), "first")["params"]
    assert found == {"lr": 1e-05, "names": {"a": "010", "b": [1, "yes"]}}
    assert found == parse_yaml(FULL, "dvc.lock")["stages"]["first"]["params"]["params.yaml"]


def test_a_lock_cut_anywhere_is_one_line_or_one_that_dvc_takes(tmp_path: Path) -> None:
    refused = 0
    for length in range(1, len(FULL)):
        (tmp_path / "dvc.lock").write_text(FULL[:length])
        lineage._lock_entries.cache_clear()
        try:
            lineage.locked(Workspace(tmp_path), "first")
        except UserError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
            assert len(str(error).removeprefix(str(tmp_path))) < 300
            assert "dvc.lock: not readable as DVC's lock file (" in str(error)
            assert "remove the file and run again" in str(error)
        else:
            COMPILED_LOCKFILE_SCHEMA(parse_yaml(FULL[:length], "dvc.lock"))
    assert refused > len(FULL) / 2


@pytest.mark.parametrize("text", [f"<<<<<<< HEAD\n{LOCK}=======\n{LOCK}>>>>>>> other\n", "[1]", "text"])
def test_a_merge_conflict_is_one_line_with_a_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(UserError, match=r"dvc\.lock: not readable as DVC's lock file .* a merge conflict\? take one"):
        lineage.locked(Workspace(tmp_path), "first")
