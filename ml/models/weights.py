"""Weights on disk: safetensors beside a JSON config that names their sha256."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ml.errors import UserError, cut


def sha256_of(path: Path) -> str:
    """The hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, wanted: str) -> None:
    """Check a file against its sha256.

    Raises:
        UserError: it is missing, or its bytes are others.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; materialize the stage `backbones` again")
    found = sha256_of(path)
    if found != wanted.lower():
        raise UserError(f"{path}: sha256 is {found}, wanted {wanted}; fetch the file again or correct the checksum")


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        UserError: it is missing or is no JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; materialize the stage `backbones` first") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); materialize the stage `backbones` again") from error
    if not isinstance(config, dict):
        raise UserError(f"{path}: found a {type(config).__name__}, wanted a JSON object")
    return config


def read_weights(path: Path, model: nn.Module, parts: tuple[str, ...] = ("",)) -> None:
    """Load safetensors into `model`, cast to its dtype.

    `parts`: how the names begin of the weights that are read, where `model` is a part of what the file holds.

    Raises:
        UserError: the file is missing, broken, of another model, or holds numbers that are not finite.
    """
    try:
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys() if name.startswith(parts)}  # noqa: SIM118
        model.load_state_dict(state)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; materialize the stage `backbones` first") from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors ({error}); materialize `backbones` again") from error
    except RuntimeError as error:
        raise UserError(f"{path}: weights of another model: {_first_line(error)}") from error
    if fault := not_finite(model.state_dict()):
        raise UserError(f"{path}: {fault}; run the stage that wrote it again, from a sound checkpoint")


def write_weights(path: Path, model: nn.Module, dtype: torch.dtype = torch.float32) -> str:
    """Save a model's state as safetensors in `dtype` and return the file's sha256.

    Raises:
        UserError: it holds numbers that are not finite.
    """
    state = {name: tensor.detach().to(dtype).contiguous().clone() for name, tensor in model.state_dict().items()}
    if fault := not_finite(state):
        raise UserError(f"{path.name}: {fault}; get the checkpoint that these weights come from again")
    save_file(state, path)
    return sha256_of(path)


def not_finite(state: Mapping[str, Tensor]) -> str:
    """What is wrong with the first tensor that holds nan or inf ("": none does)."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            return f"{name}: {bad} of {tensor.numel()} numbers are not finite (nan or inf)"
    return ""


def _first_line(error: Exception) -> str:
    return cut(str(error), 200)
