"""What dvc.lock says of a stage, and what is said where it can't be read."""

from pathlib import Path

import pytest

from ml.errors import UserError
from ml.workspace import Workspace, lineage

LOCK = "schema: '2.0'\nstages:\n  first:\n    cmd: x\n    outs:\n    - {path: data/first, md5: 1.dir}\n"


def test_a_stage_of_the_lock(tmp_path: Path) -> None:
    assert lineage.locked(Workspace(tmp_path), "first") == {}
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert lineage.locked(Workspace(tmp_path), "first") == {"deps": {}, "params": {}, "out": "1.dir"}
    assert lineage.locked(Workspace(tmp_path), "second") == {}


@pytest.mark.parametrize("text", [f"<<<<<<< HEAD\n{LOCK}=======\n{LOCK}>>>>>>> other\n", "[1]", "text"])
def test_a_merge_conflict_is_one_line_with_a_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(UserError, match=r"dvc\.lock: not readable as DVC's lock file .* a merge conflict\? take one"):
        lineage.locked(Workspace(tmp_path), "first")
