"""Finished work is recognised, and anything that it depends on makes it unfinished again."""

import errno
import os
import shutil
import socket
import sqlite3
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from ml.errors import UserError
from ml.workspace import Workspace, keys
from ml.workspace.atomic import write_json


@pytest.fixture
def made(tmp_path):
    ws = Workspace(tmp_path)
    source, output = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"in")
    output.write_bytes(b"out")
    key = keys.key("code", {"p": 1}, [keys.cached_md5(ws, source)])
    keys.record(ws, "stage", "sa_000000", key, [keys.cached_md5(ws, output)])
    return ws, source, output, key


def recorded(made):
    ws, _, output, key = made
    return keys.is_recorded(ws, "stage", "sa_000000", key, [keys.cached_md5(ws, output)])


def test_code_params_and_input_bytes_each_change_the_key():
    keys_ = {keys.key(*parts) for parts in [("c", {"p": 1}, ["a"]), ("d", {"p": 1}, ["a"]), ("c", {"p": 2}, ["a"])]}
    assert len(keys_ | {keys.key("c", {"p": 1}, ["b"])}) == 4


def test_an_output_is_recorded_until_it_is_tampered_with(made):
    assert recorded(made)
    made[2].write_bytes(b"tampered")
    assert not recorded(made)


def test_a_record_cut_short_is_no_record(made):
    record = made[0].data / ".keys" / "stage" / "sa_000000.json"
    record.write_text(record.read_text()[:10])
    assert not recorded(made)


def test_an_md5_is_remembered_until_size_time_or_inode_change(made, monkeypatch):
    ws, source, _, _ = made
    before, stat = keys.cached_md5(ws, source), source.stat()
    with monkeypatch.context() as patch:
        patch.setattr(keys, "file_md5", lambda path: pytest.fail("hashed again"))
        assert keys.cached_md5(ws, source) == before
    other = source.with_name("other")
    other.write_bytes(b"IN")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(source)  # the same size and time, another file
    assert keys.cached_md5(ws, source) == keys.file_md5(source) != before


def test_the_md5s_of_a_folder_are_those_of_its_files_at_any_moment(tmp_path):
    ws, folder = Workspace(tmp_path), tmp_path / "data" / "out"
    names = ["a", "b", "x/y/c", "x0", "x.parquet"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / ".hidden").write_text("not seen")
    for change in (lambda: None, lambda: None, lambda: (folder / "b").write_text("B"), (folder / "x0").unlink):
        change()
        wanted = {name: keys.file_md5(folder / name) for name in names if (folder / name).exists()}
        assert keys.cached_md5s(ws, folder) == wanted
    kept = (folder / "a").stat()
    (folder / "a").write_text("A")
    os.utime(folder / "a", ns=(kept.st_atime_ns, kept.st_mtime_ns))  # the same size, time and inode
    assert keys.cached_md5s(ws, folder)["a"] == keys.file_md5(folder / "a")
    assert (folder / "a").stat().st_mtime_ns != kept.st_mtime_ns  # for DVC to see
    assert keys.cached_md5s(ws, tmp_path / "nothing") == {}


def test_what_is_known_of_a_folder_is_not_hashed_again(tmp_path, monkeypatch):
    ws = Workspace(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("a")
    before = keys.cached_md5s(ws, tmp_path / "out")
    monkeypatch.setattr(keys, "file_md5", lambda path: pytest.fail("hashed again"))
    assert keys.cached_md5s(ws, tmp_path / "out") == before


def test_the_store_may_be_removed_or_broken_at_any_time(made):
    ws, source, _, _ = made
    store = ws.data / ".keys" / f"md5.{socket.gethostname()}.db"
    for spoil in (lambda: shutil.rmtree(store.parent), lambda: store.write_bytes(b"no database " * 999)):
        spoil()
        keys._open.cache_clear()
        source.write_bytes(source.read_bytes() + b"more")
        assert keys.cached_md5s(ws, source.parent)["in"] == keys.file_md5(source)
    shutil.rmtree(store.parent)  # below an open connection
    source.write_bytes(b"again")
    assert keys.cached_md5(ws, source) == keys.file_md5(source)


def test_a_store_that_opens_but_has_broken_pages_is_made_anew(made):
    ws, source, _, _ = made
    store = ws.data / ".keys" / f"md5.{socket.gethostname()}.db"
    keys._store(ws).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    keys._open.cache_clear()
    pages = store.read_bytes()
    with store.open("r+b") as file:  # all but the first, which holds the schema
        file.seek(4096)
        file.write(b"\xff" * (len(pages) - 4096))
    for _ in range(2):
        assert keys.cached_md5(ws, source) == keys.file_md5(source)
    assert keys._store(ws).execute("SELECT count(*) FROM md5s").fetchone() == (1,)


def test_every_machine_has_a_store_of_its_own(made, monkeypatch):
    ws, source, _, _ = made
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    assert keys.cached_md5(ws, source) == keys.file_md5(source)
    assert len(list(ws.data.glob(".keys/md5.*.db"))) == 2


def test_processes_and_threads_share_the_store(made, tmp_path):
    ws = made[0]
    files = [tmp_path / f"file_{number}" for number in range(40)]
    for file in files:
        file.write_bytes(file.name.encode())
    wanted = [keys.file_md5(file) for file in files]
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(keys.cached_md5, [ws] * 80, files * 2)) == wanted * 2
    found = []
    thread = threading.Thread(target=lambda: found.extend(keys.cached_md5(ws, file) for file in files))
    thread.start()
    thread.join()
    assert found == wanted


@pytest.mark.parametrize("reason", ["attempt to write a readonly database", "unable to open database file"])
def test_a_store_that_takes_no_writes_is_one_line(made, monkeypatch, reason):
    def refuse(*_):
        raise sqlite3.OperationalError(reason)

    monkeypatch.setattr(keys, "_open", refuse)
    with pytest.raises(UserError, match=rf"/\.keys/md5\..*\.db: {reason}; let this user write there, then run again$"):
        keys.cached_md5(made[0], made[1])


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_data_folder_that_takes_no_writes_is_one_line(tmp_path, monkeypatch, code):
    def refuse(self, *_, **__):
        raise OSError(code, os.strerror(code), str(self))

    (tmp_path / "in").write_text("in")
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    for write in (keys.cached_md5, lambda ws, path: write_json(ws.data / ".keys" / "x.json", {})):
        with pytest.raises(UserError, match=rf"{tmp_path}/data/\.keys: {os.strerror(code)}; let this user write there"):
            write(Workspace(tmp_path), tmp_path / "in")
