"""The stage `backbones`: SAM and CLIP from wherever params say, verified, as safetensors beside a JSON config.

Toytown's weights ship with the package. Others come from a file, from an https:// address (resumed, checksummed,
kept in the user's cache), or by an open_clip tag. Pickles are read as plain tensors only (`weights_only=True`).
"""

import json
import os
import pickle
import shutil
import zipfile
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import open_clip
import torch

import ml
from ml.errors import UserError
from ml.models.frozen.sam import SamConfig, build_sam
from ml.models.weights import read_config, sha256_of, verify, write_weights
from ml.params import Backbones, Clip, Sam
from ml.sa1b.sources.download import download
from ml.workspace.atomic import atomic_dir, write_json
from ml.workspace.report import Report

TOYTOWN = Path(ml.__file__).parent / "toytown" / "weights"
RETRIES = 4
BROKEN = (RuntimeError, OSError, EOFError, KeyError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile)


def load_backbones_stage(params: Backbones, out: Path) -> Report:
    """Write `sam.*`, `clip.*` and, if another model captions, `captioner.*` into the folder `out`.

    Raises:
        UserError: a checkpoint is missing, cannot be had, has another sha256, or is of another model.
    """
    with atomic_dir(out) as folder:
        _write_sam(params.sam, folder)
        _write_clip(params.clip.model_name, params.clip.pretrained, params.clip.sha256, folder, "clip")
        if params.clip.captioner_name is not None:
            _write_captioner(params.clip, folder)
        return Report(tables={"files": [_described(file) for file in sorted(folder.iterdir())]})


def _write_sam(params: Sam, folder: Path) -> None:
    if params.checkpoint == "toytown":
        _copy_shipped(folder, "sam", params.sha256)
        return
    if params.model_type == "tiny":
        raise UserError(
            "params.backbones.sam: model_type tiny has the checkpoint toytown; official ones are vit_b, l, h"
        )
    config = SamConfig(params.model_type)
    path = _local(params.checkpoint, params.sha256, "params.backbones.sam.checkpoint")
    model = build_sam(config)
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except BROKEN as error:
        raise UserError(f"{path}: not a checkpoint of SAM {params.model_type}: {_short(error)}") from error
    sha256 = write_weights(folder / "sam.safetensors", model)
    write_json(folder / "sam.json", {**config.to_json(), "sha256": sha256})


def _write_captioner(params: Clip, folder: Path) -> None:
    name, pretrained = params.captioner_name, params.captioner_pretrained
    if name is None or pretrained is None:
        raise UserError("params.backbones.clip.captioner_pretrained: missing; name the weights of captioner_name")
    _write_clip(name, pretrained, None, folder, "captioner")


def _write_clip(model_name: str, pretrained: str, sha256: str | None, folder: Path, name: str) -> None:
    if pretrained == "toytown":
        _copy_shipped(folder, name, sha256)
        return
    model, architecture = _open_clip_model(model_name, pretrained, sha256)
    preprocess = model.visual.preprocess_cfg
    config = {
        "architecture": architecture,
        "merges": None,
        "mean": list(preprocess["mean"]),
        "std": list(preprocess["std"]),
        "sha256": write_weights(folder / f"{name}.safetensors", model),
    }
    write_json(folder / f"{name}.json", config)


def _open_clip_model(model_name: str, pretrained: str, sha256: str | None) -> tuple[Any, dict[str, Any]]:
    """A model of open_clip with its weights, in the custom-text layout, and its config."""
    architecture = open_clip.get_model_config(model_name)
    if architecture is None:
        near = ", ".join(get_close_matches(model_name, open_clip.list_models()))
        raise UserError(f"params.backbones.clip: open_clip has no model {model_name!r}{near and f'; it has {near}'}")
    if architecture["text_cfg"].get("hf_model_name") or architecture["vision_cfg"].get("timm_model_name"):
        raise UserError(
            f"params.backbones.clip: {model_name} needs transformers or timm; take a plain ViT, as ViT-L-14"
        )
    tag = open_clip.get_pretrained_cfg(model_name, pretrained)
    source = pretrained if tag else str(_local(pretrained, sha256, "params.backbones.clip.pretrained"))
    quick = bool(architecture.get("quick_gelu") or tag.get("quick_gelu"))
    try:
        model = open_clip.create_model(model_name, source, force_quick_gelu=quick, force_custom_text=True)
    except BROKEN as error:
        raise UserError(f"params.backbones.clip: {model_name} from {pretrained}: {_short(error)}") from error
    return model, architecture | {"quick_gelu": quick}


def _copy_shipped(folder: Path, name: str, sha256: str | None) -> None:
    """Copy toytown's `clip` or `sam`; a captioner from toytown is its CLIP."""
    source = "sam" if name == "sam" else "clip"
    config = read_config(TOYTOWN / f"{source}.json")
    verify(TOYTOWN / f"{source}.safetensors", sha256 or config["sha256"])
    shutil.copyfile(TOYTOWN / f"{source}.safetensors", folder / f"{name}.safetensors")
    shutil.copyfile(TOYTOWN / f"{source}.json", folder / f"{name}.json")
    if merges := config.get("merges"):
        verify(TOYTOWN / merges, config["merges_sha256"])
        shutil.copyfile(TOYTOWN / merges, folder / merges)


def _local(source: str, sha256: str | None, key: str) -> Path:
    """The checkpoint as a file: verified, and downloaded first if `source` is an address."""
    if not source.startswith(("https://", "http://", "s3://")):
        path = Path(source).expanduser()
        if not path.is_file():
            raise UserError(
                f"{key}: {source} is no file, https:// address or known tag; download it or correct the key"
            )
    else:
        path = _cache() / source.split("?")[0].rsplit("/", 1)[-1]
        if not path.is_file():
            download(lambda: source, path, RETRIES, lambda part: _fault(part, sha256))
    if sha256 is not None:
        verify(path, sha256)
    return path


def _fault(path: Path, sha256: str | None) -> str:
    found = sha256_of(path) if sha256 else None
    return "" if found == sha256 else f"sha256 is {found}, wanted {sha256}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "arrcoc"


def _described(file: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"file": file.name, "bytes": file.stat().st_size}
    if file.suffix == ".json":
        row["sha256_of_weights"] = json.loads(file.read_text(encoding="utf-8"))["sha256"]
    return row


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
