"""Nothing half-written is ever seen."""

import errno
import os
import sqlite3
import subprocess

import pytest

from ml.errors import UserError
from ml.workspace.atomic import _beside, atomic_dir, atomic_path, sweep, write_json


def test_a_failure_leaves_the_old_file_and_no_scrap(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with pytest.raises(ValueError), atomic_path(path) as tmp:
        tmp.write_bytes(b"half")
        raise ValueError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_the_one_before(tmp_path):
    path = tmp_path / "out"
    for name in ("a", "b"):
        with atomic_dir(path) as tmp:
            (tmp / name).write_text(name)
    assert [file.name for file in path.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [atomic_path, atomic_dir])
def test_a_full_disk_is_one_line(tmp_path, kind):
    with pytest.raises(UserError, match="no space left"), kind(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [atomic_path, atomic_dir])
@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_that_takes_no_writes_is_one_line(tmp_path, kind, code):
    with (
        pytest.raises(UserError, match=rf"{tmp_path}/out: .*; let this user write there") as error,
        kind(tmp_path / "out"),
    ):
        raise OSError(code, os.strerror(code))
    assert os.strerror(code) in str(error.value)
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=rf"{tmp_path}/file.*; make room for the folder"),
        kind(tmp_path / "file" / "x"),
    ):
        pytest.fail("a file took the place of the folder")


def test_equal_values_are_equal_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1, "y": 2})
    write_json(tmp_path / "b.json", {"y": 2, "x": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_full_disk_in_the_words_of_sqlite(tmp_path):
    with pytest.raises(UserError, match="no space left"), atomic_path(tmp_path / "out"):
        raise sqlite3.OperationalError("database or disk is full")
    assert not list(tmp_path.iterdir())


def beside(path):
    with _beside(path) as tmp:
        return tmp


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path, monkeypatch):
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    whole, mine, elsewhere = tmp_path / "shards" / "out.tar", beside(tmp_path / "out"), tmp_path / ".out.node7.1.tmp"
    monkeypatch.setattr("os.getpid", lambda: gone.pid)
    scraps = [beside(path) for path in (tmp_path / "folder", whole, tmp_path / ".keys" / "stage" / "sa.json")]
    for path in (whole, mine, elsewhere, scraps[0] / "part", *scraps[1:]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    sweep(tmp_path)
    assert all(path.exists() for path in (whole, mine, elsewhere))
    assert not any(path.exists() for path in scraps)
