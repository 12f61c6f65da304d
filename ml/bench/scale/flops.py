"""Floating-point operations of the big models for one image, counted on shapes alone: no weights, no memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch.utils.flop_counter import FlopCounterMode

from ml.labeling.geometry.eye import Eye
from ml.models.arrcoc import ARRCOC, ModelConfig
from ml.models.frozen.architecture import build_clip
from ml.models.frozen.clip import Clip
from ml.models.frozen.decoding import CachedDecoder
from ml.models.frozen.sam import SamConfig, build_sam
from ml.models.frozen.texts import REFERENTS
from ml.params import Params

BACKWARD = 3  # forward and backward in forward passes: gradients of inputs and of weights cost one each
TOKENS = 16  # of a query, its padding included


@dataclass(frozen=True)
class Flops:
    """Of one image: SAM's encoder; CLIP's and the captioner's work on all its crops; a step of the trained part."""

    sam: float
    labels: float
    head: float


def count(params: Params, caption_tokens: int) -> Flops:
    """Count for the models that the params name, official SAM and open_clip ones."""
    with torch.device("meta"):
        return Flops(_sam(params), _labels(params, caption_tokens), _head(params))


def counted(work: Callable[[], object]) -> float:
    """Operations of what `work` calls in torch."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a fused operator that is not counted
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            work()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return float(counter.get_total_flops())


def _sam(params: Params) -> float:
    config = SamConfig(params.backbones.sam.model_type)
    sam = build_sam(config)
    return counted(lambda: sam.image_encoder(torch.empty(1, 3, config.image_size, config.image_size)))


def _labels(params: Params, tokens: int) -> float:
    """The captioner sees each kept mask and the whole image, CLIP each kept mask."""
    masks, names = params.filter.max_masks_per_image, params.backbones.clip
    clip: Any = build_clip(open_clip.get_model_config(names.model_name))
    coca = build_clip(open_clip.get_model_config(names.captioner_name or names.model_name))
    crop = torch.empty(1, 3, 224, 224)
    return masks * counted(lambda: clip.visual(crop)) + (masks + 1) * counted(lambda: _caption(coca, crop, tokens))


def _caption(coca: Any, crop: torch.Tensor, tokens: int) -> None:
    """As `Clip.describe`, a word at a time."""
    decoder = CachedDecoder(coca.text, coca.text_decoder, coca.visual(crop)[1])
    for _ in range(1, tokens):
        decoder.step(torch.zeros(1, dtype=torch.long))


def _head(params: Params) -> float:
    """Grounding and relevance, forward and backward; without the captioner of the last stage."""
    sam, queries, regions = SamConfig(params.backbones.sam.model_type), params.training.queries_per_image, 20
    architecture = open_clip.get_model_config(params.backbones.clip.model_name)
    eye = Eye(architecture["vision_cfg"]["image_size"])
    clip = Clip(build_clip(architecture), open_clip.SimpleTokenizer(), [0.5] * 3, [0.5] * 3, eye)
    model = ARRCOC(ModelConfig.from_backbones(params.model, params.labels, sam, clip))
    inputs = (
        torch.empty(1, sam.channels, sam.grid, sam.grid),
        torch.empty(1, regions, sam.grid, sam.grid),
        torch.empty(1, regions, 4),
        torch.empty(1, regions, clip.embed_dim),
        torch.ones(1, regions, dtype=torch.bool),
        torch.empty(1, queries, TOKENS, clip.text_dim),
        torch.ones(1, queries, TOKENS, dtype=torch.bool),
        torch.empty(1, queries, clip.embed_dim),
        torch.empty(1, queries, REFERENTS, clip.embed_dim),
    )
    return BACKWARD * counted(lambda: model.eval()(*inputs))
