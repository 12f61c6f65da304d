"""Untrained models from open_clip's configs."""

from typing import Any

from open_clip import CoCa, CustomTextCLIP
from torch import nn


def build_clip(architecture: dict[str, Any]) -> nn.Module:
    """An untrained model from open_clip's config: a CoCa where it has a `multimodal_cfg`."""
    config = {key: value for key, value in architecture.items() if key != "custom_text"}
    return CoCa(**config) if "multimodal_cfg" in config else CustomTextCLIP(**config)
