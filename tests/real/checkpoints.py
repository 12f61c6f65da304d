"""Checkpoints in the official formats with seeded random weights: real sizes without a download."""

from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry
from torch import nn

SAM, CLIP, COCA = "vit_b", "ViT-B-32", "coca_ViT-B-32"


def random_sam(path: Path, model_type: str = SAM) -> Path:
    """As segment_anything publishes it; its masks are trusted, or nothing would be proposed."""
    torch.manual_seed(0)
    model = sam_model_registry[model_type]()
    nn.init.constant_(model.mask_decoder.iou_prediction_head.layers[-1].bias, 1.0)
    torch.save(model.state_dict(), path)
    return path


def random_clip(path: Path, name: str = CLIP) -> Path:
    """As open_clip saves it: `.pt`, or `.safetensors`."""
    torch.manual_seed(0)
    model = open_clip.create_model(name)
    if hasattr(model, "text_decoder"):
        nn.init.normal_(model.text_decoder.text_projection, std=0.02)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path
