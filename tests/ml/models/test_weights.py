"""Weights on disk."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ml.errors import UserError
from ml.models.weights import not_finite, read_weights, write_weights


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_neither_read_nor_written(tmp_path: Path, value: float) -> None:
    model = nn.Linear(3, 2)
    path = tmp_path / "model.safetensors"
    write_weights(path, model)
    read_weights(path, model)
    with torch.no_grad():
        model.bias[1] = value
    with pytest.raises(UserError, match=r"^other.safetensors: bias: 1 of 2 numbers are not finite"):
        write_weights(tmp_path / "other.safetensors", model)
    save_file(model.state_dict(), path)
    with pytest.raises(UserError, match=r"model.safetensors: bias: 1 of 2 numbers are not finite .*sound checkpoint"):
        read_weights(path, nn.Linear(3, 2))
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_numbers_that_the_type_cannot_hold_are_not_written(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.fill_(1e6)
    with pytest.raises(UserError, match=r"weight: 6 of 6 numbers are not finite"):
        write_weights(tmp_path / "model.safetensors", model, torch.float16)


def test_whole_numbers_are_finite() -> None:
    assert not_finite({"ids": torch.arange(3), "none": torch.zeros(0)}) == ""
