"""A shard is whole by all of its bytes: what downloads and disks leave behind is told from what is there."""

import gzip
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tiny_shards import pair, write_tar

from ml.sa1b.shards.whole import PAGE, shard_fault


def noise(side: int = 300, **options: object) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(file, "JPEG", quality=95, **options)
    return file.getvalue()


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    return write_tar(tmp_path / "a.tar", [*pair(1), ("sa_2.jpg", noise()), *pair(3)])


def test_a_whole_shard_has_no_fault(tar: Path) -> None:
    assert shard_fault(tar) == ""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda data: data + data, "two archives joined"),
        (lambda data: data[: len(data) // 2], "no end marker"),
        (lambda data: data[: len(data) // 2 // 512 * 512] + bytes(len(data) // 2), ""),
        (lambda data: data + bytes(20 * PAGE), "zeros where a header belongs"),
        (lambda data: data[:-512] + b"x" * 512, "zeros where a header belongs"),
        (lambda data: gzip.compress(data), "not a tar but gzip"),
        (lambda data: bytes(10240), "a tar without any file"),
        (lambda data: b"<html>" + bytes(2000), "not a tar"),
        (lambda data: bytes([data[0] ^ 1]) + data[1:], "a tar header with a wrong checksum"),
    ],
    ids=["joined", "cut", "half zeros", "long tail", "rubbish behind", "gzip", "zeros", "page", "bit"],
)
def test_what_is_left_of_a_shard_is_told(tar: Path, change: Callable[[bytes], bytes], fault: str) -> None:
    tar.write_bytes(change(tar.read_bytes()))
    assert fault in (found := shard_fault(tar)) and found


def test_a_page_of_zeros_in_a_scan_is_a_hole(tar: Path) -> None:
    data = bytearray(tar.read_bytes())
    page = (data.index(noise()[:64]) // PAGE + 3) * PAGE
    data[page : page + PAGE] = bytes(PAGE)
    tar.write_bytes(data)
    assert shard_fault(tar) == f"sa_2.jpg: {PAGE} zeros at byte {page} of the tar, where there are none (a hole)"


@pytest.mark.parametrize("where", ["before", "behind"])
def test_zeros_of_a_profile_or_behind_the_end_marker_are_none(tmp_path: Path, where: str) -> None:
    data = noise(icc_profile=bytes(5 * PAGE)) if where == "before" else noise() + bytes(5 * PAGE)
    assert shard_fault(write_tar(tmp_path / "a.tar", [("sa_2.jpg", data)])) == ""


def test_a_large_member_is_read_a_piece_at_a_time(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("notes.json", b"x" * (1 << 26)), ("sa_2.jpg", noise())])
    tracemalloc.start()
    assert shard_fault(path) == ""
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
