"""Pickles that ask for more than they hold, and those of Python 2."""

import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ml.errors import UserError
from ml.evaluation.benchmarks.referring.plain_pickle import load_plain_pickle

HUGE = struct.pack("<I", 2**31 - 1)
ENORMOUS = struct.pack("<Q", 2**40)
ASKING = {
    "bytes": b"\x80\x03B" + HUGE + b".",
    "bytes of 8": b"\x80\x04\x8e" + ENORMOUS + b".",
    "bytearray": b"\x80\x05\x96" + ENORMOUS + b".",
    "text": b"\x80\x03X" + HUGE + b".",
    "text of 8": b"\x80\x04\x8d" + ENORMOUS + b".",
    "text of Python 2": b"\x80\x02T" + HUGE + b".",
    "integer": b"\x80\x02\x8b" + HUGE + b".",
    "frame": b"\x80\x04\x95" + ENORMOUS + b"N.",
    "memo": b"\x80\x02Nr" + struct.pack("<I", 2**28) + b".",
    "memo in text": b"Np268435456\n.",
    "digits": b"L" + b"9" * 100_000 + b"L\n.",
    "tuples as a key": b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns.",
    "no end": b"\x80\x02]",
}


@pytest.mark.parametrize("name", ASKING)
def test_a_pickle_takes_no_more_memory_than_its_size_explains(tmp_path: Path, name: str) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(ASKING[name])
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as error:
            load_plain_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value) and len(str(error.value)) - len(str(path)) < 250


def test_text_of_python_2_is_read_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(b"(lp0\nS'caf\\xc3\\xa9'\np1\naVna\\u00efve\np2\na.")
    assert load_plain_pickle(path) == ["caf\u00e9", "na\u00efve"]


def test_what_is_nested_deeply_is_read(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(b"\x80\x02" + b"]" * 100_001 + b"a" * 100_000 + b".")
    value: Any = load_plain_pickle(path)
    assert len(value) == 1


def test_a_pickle_in_a_pickle_stays_bytes(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    inner = pickle.dumps([print])
    path.write_bytes(pickle.dumps([inner]))
    assert load_plain_pickle(path) == [inner]
