"""Finished work is recognised, and anything that it depends on makes it unfinished again."""

import pytest

from ml import keys
from ml.workspace import Workspace


@pytest.fixture
def made(tmp_path):
    ws = Workspace(tmp_path)
    source, output = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"in")
    output.write_bytes(b"out")
    key = keys.key(ws, "code", {"p": 1}, [source])
    keys.record(ws, "stage", "sa_000000", key, [output])
    return ws, source, output, key


def current(made):
    ws, _, output, key = made
    return keys.is_current(ws, "stage", "sa_000000", key, [output])


def test_untouched_output_is_current(made):
    assert current(made)


def test_code_params_and_input_bytes_each_change_the_key(made):
    ws, source, _, key = made
    assert keys.key(ws, "other", {"p": 1}, [source]) != key
    assert keys.key(ws, "code", {"p": 2}, [source]) != key
    source.write_bytes(b"in, longer")
    assert keys.key(ws, "code", {"p": 1}, [source]) != key


def test_tampered_or_deleted_output_is_not_current(made):
    output = made[2]
    output.write_bytes(b"tampered")
    assert not current(made)
    output.unlink()
    assert not current(made)


def test_a_record_cut_short_is_no_record(made):
    record = made[0].data / ".keys" / "stage" / "sa_000000.json"
    record.write_text(record.read_text()[:10])
    assert not current(made)
