import errno
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ml.errors import UserError
from ml.labeling.tensors import reserve, tensor_file


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    values = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float16)
    with tensor_file(out, {"features": ("F16", (2, 3, 5)), "ids": ("I64", (3,)), "none": ("F16", (0, 4))}) as arrays:
        arrays["features"][1] = values[1]
        arrays["ids"][:] = [7, -1, 2**40]
        assert not out.exists()
    loaded = load_file(out)
    assert not loaded["features"][0].any()
    np.testing.assert_array_equal(loaded["features"][1], values[1])
    assert loaded["ids"].tolist() == [7, -1, 2**40]
    assert loaded["none"].shape == (0, 4)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room: files of holes fit, bytes do not."""

    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)


@pytest.mark.usefixtures("full")
def test_a_full_disk_is_told_before_anything_is_mapped(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"no space left on the disk; free some and run again"),
        tensor_file(tmp_path / "a.safetensors", {"x": ("F16", (4,))}),
    ):
        pytest.fail("it was mapped")
    assert list(tmp_path.iterdir()) == []


def test_the_bytes_are_reserved(tmp_path: Path) -> None:
    """Zeros that lie on the disk, not a hole."""
    reserve(tmp_path / "a", 3_000_001)
    found = (tmp_path / "a").stat()
    assert (found.st_size, (tmp_path / "a").read_bytes()) == (3_000_001, bytes(3_000_001))
    assert found.st_blocks * 512 >= 3_000_001


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), tensor_file(tmp_path / "a.safetensors", {"x": ("F16", (4,))}):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
