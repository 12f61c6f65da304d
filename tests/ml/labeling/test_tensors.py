from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ml.labeling.tensors import tensor_file


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


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), tensor_file(tmp_path / "a.safetensors", {"x": ("F16", (4,))}):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
