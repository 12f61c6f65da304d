"""The stage `backbones`: SAM and CLIP from wherever params say, verified, as safetensors beside a JSON config.

Toytown's weights ship with the package. Others come from a file, from an https:// address, or by an open_clip tag.
"""

import json
import shutil
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import Tensor, nn

import ml
from ml.errors import UserError
from ml.models.frozen.architecture import build_clip
from ml.models.frozen.checkpoints import Checkpoint, read_checkpoint
from ml.models.frozen.fetch import from_file, from_hub
from ml.models.frozen.sam import SamConfig, build_sam
from ml.models.weights import read_config, verify, write_weights
from ml.params import Backbones, Clip, Sam
from ml.workspace.atomic import atomic_dir, write_json
from ml.workspace.report import Report

TOYTOWN = Path(ml.__file__).parent / "toytown" / "weights"
KEY = "params.backbones"
SAM_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}


class Source(NamedTuple):
    """A CLIP or CoCa that params name: an open_clip architecture, and where its weights come from."""

    model_name: str
    pretrained: str
    sha256: str | None
    name: str  # of the files: clip or captioner
    keys: str  # how its params begin


def load_backbones_stage(params: Backbones, root: Path, out: Path) -> Report:
    """Write `sam.*`, `clip.*` and, if another model captions, `captioner.*` into the folder `out`.

    `root`: the workspace, where paths in params start.

    Raises:
        UserError: a checkpoint is missing, cannot be had, has another sha256, or is of another model.
    """
    with atomic_dir(out) as folder:
        _write_sam(params.sam, root, folder)
        for source in _sources(params.clip):
            _write_clip(source, root, folder)
        return Report(tables={"files": [_described(file) for file in sorted(folder.iterdir())]})


def _sources(params: Clip) -> list[Source]:
    """The CLIP, and the CoCa where another model captions."""
    clip = Source(params.model_name, params.pretrained, params.sha256, "clip", f"{KEY}.clip.")
    if params.captioner_name is None:
        return [clip]
    if params.captioner_pretrained is None:
        raise UserError(f"{KEY}.clip.captioner_pretrained: missing; name the weights of captioner_name")
    captioner = Source(
        params.captioner_name,
        params.captioner_pretrained,
        params.captioner_sha256,
        "captioner",
        f"{KEY}.clip.captioner_",
    )
    return [clip, captioner]


def _write_sam(params: Sam, root: Path, folder: Path) -> None:
    if params.checkpoint == "toytown":
        _copy_shipped(folder, "sam", params.sha256)
        return
    if params.model_type == "tiny":
        raise UserError(f"{KEY}.sam: model_type tiny has the checkpoint toytown; official ones are vit_b, l, h")
    checkpoint = read_checkpoint(from_file(params.checkpoint, params.sha256, root, f"{KEY}.sam.checkpoint"))
    _look_at_type(checkpoint, params.model_type)
    config = SamConfig(params.model_type)
    model = build_sam(config)
    checkpoint.load_into(model, f"SAM {params.model_type}")
    sha256 = write_weights(folder / "sam.safetensors", model)
    write_json(folder / "sam.json", {**config.to_json(), "sha256": sha256})


def _look_at_type(checkpoint: Checkpoint, wanted: str) -> None:
    """Refuse a sound SAM of another size by its name, which says more than a tensor's shape."""
    positions = checkpoint.tensors.get("image_encoder.pos_embed")
    found = wanted if positions is None else SAM_WIDTHS.get(positions.shape[-1], wanted)
    if found != wanted:
        raise UserError(f"{checkpoint.path}: is a SAM {found}; set {KEY}.sam.model_type to {found}, it is {wanted}")


def _write_clip(source: Source, root: Path, folder: Path) -> None:
    if source.pretrained == "toytown":
        _copy_shipped(folder, source.name, source.sha256)
        return
    architecture, tag = _architecture(source), open_clip.get_pretrained_cfg(source.model_name, source.pretrained)
    key = f"{source.keys}pretrained"
    path = from_hub(tag, source.sha256, key) if tag else from_file(source.pretrained, source.sha256, root, key)
    checkpoint = read_checkpoint(path)
    quick = architecture.get("quick_gelu") or tag.get("quick_gelu") or checkpoint.openai
    model = build_clip(architecture | {"quick_gelu": bool(quick)})
    weights = Checkpoint(path, _in_layout(checkpoint.tensors, model))
    weights.load_into(model, f"open_clip's {source.model_name}")
    seen = merge_preprocess_dict(PreprocessCfg(), tag)
    config = {
        "architecture": architecture | {"quick_gelu": bool(quick)},
        "merges": None,
        **{name: seen[name] for name in ("interpolation", "resize_mode")},
        "mean": list(seen["mean"]),
        "std": list(seen["std"]),
        "sha256": write_weights(folder / f"{source.name}.safetensors", model),
    }
    write_json(folder / f"{source.name}.json", config)


def _architecture(source: Source) -> dict[str, Any]:
    """open_clip's config of a model, in the custom-text layout.

    Raises:
        UserError: there is none of that name, or it needs another library.
    """
    architecture = open_clip.get_model_config(source.model_name)
    key, name = f"{source.keys}{'model_name' if source.name == 'clip' else 'name'}", source.model_name
    if architecture is None:
        near = ", ".join(get_close_matches(name, open_clip.list_models()))
        raise UserError(f"{key}: open_clip has no model {name!r}{near and f'; it has {near}'}")
    if architecture["text_cfg"].get("hf_model_name") or architecture["vision_cfg"].get("timm_model_name"):
        raise UserError(f"{key}: {name} needs transformers or timm; take a plain ViT, as ViT-L-14")
    return architecture


def _in_layout(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """An older checkpoint's tensors under the names, and with the shape of the scale, of today's custom-text layout."""
    renamed = convert_to_custom_text_state_dict(tensors) if "positional_embedding" in tensors else dict(tensors)
    if "logit_scale" in renamed:
        renamed["logit_scale"] = renamed["logit_scale"].reshape(model.state_dict()["logit_scale"].shape)
    return renamed


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


def _described(file: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"file": file.name, "bytes": file.stat().st_size}
    if file.suffix == ".json":
        config = json.loads(file.read_text(encoding="utf-8"))
        row["sha256_of_weights"] = config["sha256"]
        if "architecture" in config:
            row["activation"] = "QuickGELU" if config["architecture"].get("quick_gelu") else "GELU"
    return row
