"""One look at the data: what it has read once it says again, whatever happens meanwhile."""

import pytest

from ml.workspace import Workspace, keys
from ml.workspace.lineage import data_version
from ml.workspace.snapshot import Snapshot


@pytest.fixture
def ws(tmp_path):
    (tmp_path / "data" / "out").mkdir(parents=True)
    (tmp_path / "data" / "out" / "a").write_text("a")
    return Workspace(tmp_path)


def test_a_snapshot_stays_as_it_was_and_another_sees_what_changed(ws):
    folder = ws.data / "out"
    before = Snapshot(ws)
    seen = before.version(folder), before.listing(folder), before.md5(f"{folder}/a")
    (folder / "a").write_text("b")
    assert (before.version(folder), before.listing(folder), before.md5(f"{folder}/a")) == seen
    assert Snapshot(ws).version(folder) == data_version(ws, folder) != seen[0]
    assert Snapshot(ws).md5(f"{folder}/a") == keys.file_md5(folder / "a") != seen[2]


@pytest.mark.parametrize("listed", [True, False])
def test_a_file_that_is_not_there_is_missed(ws, listed):
    at = Snapshot(ws)
    if listed:
        at.listing(ws.data / "out")
    assert at.md5(f"{ws.data}/out/a") == keys.file_md5(ws.data / "out" / "a")
    with pytest.raises(FileNotFoundError, match="out/b"):
        at.md5(f"{ws.data}/out/b")
