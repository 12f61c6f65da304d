"""Weights from other people's files, as tensors alone: PyTorch's zip or pickle, safetensors, OpenAI's TorchScript.

Pickles are read with `weights_only=True`. A TorchScript archive is a program; it is opened only where its bytes are
those that OpenAI published.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from open_clip.pretrained import _PRETRAINED
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ml.errors import UserError, cut
from ml.models.weights import sha256_of

BROKEN = (RuntimeError, OSError, EOFError, KeyError, ValueError, IndexError, TypeError, AttributeError)
ASIDE = ("input_resolution", "context_length", "vocab_size")  # OpenAI's archives hold these beside the weights
NESTED = ("state_dict", "model_state_dict", "model")  # where a training run's checkpoint holds the weights
PUBLISHED = re.compile(r"openaipublic\.[^/]+/clip/models/([0-9a-f]{64})/")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name. `openai`: trained with QuickGELU, as all of OpenAI's CLIP models are."""

    path: Path
    tensors: dict[str, Tensor]
    openai: bool = False

    def load_into(self, model: nn.Module, what: str) -> None:
        """Copy the weights into a model, which `what` names for the reader of an error.

        Raises:
            UserError: they are of another model.
        """
        if fault := mismatch(self.tensors, model.state_dict()):
            raise UserError(f"{self.path}: not a checkpoint of {what}: {fault}")
        model.load_state_dict(self.tensors)


def read_checkpoint(path: Path) -> Checkpoint:
    """The weights in a file, whatever its name says; a prefix `module.`, which DataParallel leaves, is taken off.

    Raises:
        UserError: it is empty, cut, holds more than weights, or is a program.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if not start:
        raise UserError(f"{path}: is empty; fetch it again")
    if start[8:] == b"{":
        return Checkpoint(path, _without_prefix(_safetensors(path)))
    if _is_program(path):
        return Checkpoint(path, _published(path), openai=True)
    found = _weights(path, _unpickled(path))
    openai = any(name in found for name in ASIDE)
    return Checkpoint(path, _without_prefix({k: v for k, v in found.items() if k not in ASIDE}), openai)


def mismatch(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What keeps tensors from being a model's ("": nothing)."""
    for name in sorted(found.keys() & wanted.keys()):
        if found[name].shape != wanted[name].shape:
            shapes = (list(tensors[name].shape) for tensors in (found, wanted))
            return "{} is {}, wanted {}; name the model that these weights are of".format(name, *shapes)
    lacking, foreign = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if not lacking and not foreign:
        return ""
    sides = ((lacking, "lacks"), (foreign, "has, unknown there,"))
    told = [f"it {verb} {len(names)} of its tensors, as {cut(names[0], 60)}" for names, verb in sides if names]
    return "; ".join(told) + "; name the model that these weights are of"


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors ({cut(str(error), 120)}); fetch it again") from error


def _is_program(path: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _published(path: Path) -> dict[str, Tensor]:
    urls = " ".join(tag.get("url", "") for tags in _PRETRAINED.values() for tag in tags.values())
    if sha256_of(path) not in PUBLISHED.findall(urls):
        raise UserError(
            f"{path}: a TorchScript archive, which is a program, and not one that OpenAI published (by its sha256); "
            "save the model's state_dict() with torch.save or safetensors, and name that"
        )
    state = torch.jit.load(str(path), map_location="cpu").state_dict()
    return {name: tensor for name, tensor in state.items() if name not in ASIDE}


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, *BROKEN) as error:
        if more := re.search(r"(?:Unsupported (?:global|class)|GLOBAL)\W+(?:GLOBAL )?([\w.]+)", str(error)):
            reason = f"a pickle that holds more than weights ({more[1]}), which is not read"
            raise UserError(f"{path}: {reason}; save the model's state_dict() alone, and name that") from error
        reason = cut(str(error).splitlines()[0] if str(error) else type(error).__name__, 100)
        raise UserError(f"{path}: cut, damaged, or no checkpoint ({reason}); fetch it again") from error


def _weights(path: Path, loaded: Any) -> dict[str, Tensor]:
    """The tensors by name in what a checkpoint holds, by themselves or beside an optimizer's."""
    inner = next((loaded[key] for key in NESTED if isinstance(loaded, Mapping) and key in loaded), loaded)
    if not isinstance(inner, Mapping) or not inner:
        raise UserError(f"{path}: holds a {type(inner).__name__}, no weights; name a file of a model's state_dict()")
    for name, value in inner.items():
        if name not in ASIDE and not isinstance(value, Tensor):
            raise UserError(f"{path}: {cut(str(name), 60)} is a {type(value).__name__}, a tensor is wanted")
    return dict(inner)


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    wrapped = bool(tensors) and all(name.startswith("module.") for name in tensors)
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()} if wrapped else tensors
