"""The frozen SAM: official ones, or toytown's tiny one, built from `segment_anything`'s own classes.

Kirillov et al., "Segment Anything", 2023. An image enters in SAM's frame: longest side resized to `image_size`,
padded right and bottom with what is zero once it is normalised.
"""

import json
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
from segment_anything.modeling import Sam as SegmentAnything
from torch import Tensor, nn

from ml.compute.device import accelerator, half_precision
from ml.models.weights import read_config, read_weights
from ml.sa1b.reading.padding import to_frame

PATCH = 16  # pixels a grid cell, in every SAM


@dataclass(frozen=True)
class SamConfig:
    """What `sam.json` holds. `width`, `depth`, `heads` and `channels` size the tiny one; official ones know theirs."""

    model_type: str
    image_size: int = 1024
    width: int | None = None
    depth: int | None = None
    heads: int | None = None
    channels: int = 256

    @property
    def grid(self) -> int:
        """Cells a side of the features."""
        return self.image_size // PATCH

    def to_json(self) -> dict[str, int | str]:
        """The fields that are set, as `sam.json` holds them."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class Sam:
    """A frozen SAM. `model` is `segment_anything`'s, for its mask generator; `encode` is the image encoder alone."""

    def __init__(self, model: SegmentAnything, config: SamConfig) -> None:
        self.model = model.eval().requires_grad_(False)
        self.config = config
        self.image_size = config.image_size
        self.channels = config.channels
        self.grid = config.grid

    def to_frame(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring an RGB image `[H, W, 3]` into this SAM's frame, `[4, S, S]`."""
        return to_frame(image, self.image_size)

    def to(self, device: torch.device) -> Self:
        """Move the weights to a device; images are then encoded there, and their features stay there."""
        self.model.to(device)
        return self

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode uint8 images `[B, 4, S, S]` in SAM's frame to features `[B, C, S/16, S/16]`, float32."""
        with half_precision(self.model.device):
            pixels = normalized(images.to(self.model.device), self.model.pixel_mean, self.model.pixel_std)
            return self.model.image_encoder(pixels).float()


def normalized(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Frames `[B, 4, S, S]` as SAM's encoder reads them, float32 `[B, 3, S, S]`: zero in the padding."""
    return (frames[:, :3].float() - mean) / std * frames[:, 3:].float()


def build_sam(config: SamConfig) -> SegmentAnything:
    """An untrained SAM of the given kind."""
    if config.model_type == "tiny":
        return _tiny(config)
    return sam_model_registry[config.model_type]()


def read_sam_config(path: Path) -> SamConfig:
    """What a `sam.json` says.

    Raises:
        UserError: it is missing or no JSON.
    """
    raw = read_config(path)
    return SamConfig(**{key: value for key, value in raw.items() if key != "sha256"})


def load_sam(folder: Path) -> Sam:
    """Load `sam.safetensors` as `sam.json` describes it.

    Raises:
        UserError: a file is missing or broken, or the weights are of another model.
    """
    config = read_sam_config(folder / "sam.json")
    model = build_sam(config)
    read_weights(folder / "sam.safetensors", model)
    return Sam(model, config)


@lru_cache(maxsize=1)
def shared_sam(folder: Path) -> Sam:
    """`load_sam` on this process's device, once a process: a pool's worker takes many shards."""
    return load_sam(folder).to(accelerator())


def config_json(config: SamConfig, sha256: str) -> str:
    """The text of `sam.json`."""
    return json.dumps({**config.to_json(), "sha256": sha256}, indent=1, sort_keys=True) + "\n"


def _tiny(config: SamConfig) -> SegmentAnything:
    grid = (config.image_size // PATCH,) * 2
    encoder = ImageEncoderViT(
        img_size=config.image_size,
        patch_size=PATCH,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.heads,
        out_chans=config.channels,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    prompts = PromptEncoder(
        embed_dim=config.channels,
        image_embedding_size=grid,
        input_image_size=(config.image_size,) * 2,
        mask_in_chans=16,
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(
            depth=2, embedding_dim=config.channels, mlp_dim=2 * config.channels, num_heads=config.channels // 32
        ),
        transformer_dim=config.channels,
        iou_head_depth=3,
        iou_head_hidden_dim=config.channels,
    )
    return SegmentAnything(encoder, prompts, decoder)
