"""SAM without its image encoder: what turns points into masks, 16 MB of up to 2.5 GB.

Wherever the encoder is a graph of its own, only this is loaded: `mask_decoder.safetensors` and, as `sam.json` is,
`mask_decoder.json`; or out of a whole `sam.safetensors`, whose other weights are never read.
"""

from pathlib import Path

import torch
from segment_anything.modeling import Sam as SegmentAnything
from torch import nn

from ml.models.frozen.sam import Sam, SamConfig, build_sam, config_json, read_sam_config
from ml.models.weights import read_weights, write_weights

WEIGHTS, CONFIG = "mask_decoder.safetensors", "mask_decoder.json"
PARTS = ("prompt_encoder.", "mask_decoder.")


def load_mask_decoder(folder: Path) -> Sam:
    """Load what `write_mask_decoder` wrote; this SAM encodes no images.

    Raises:
        UserError: a file is missing or broken, or the weights are of another model.
    """
    return _load(folder / CONFIG, folder / WEIGHTS)


def mask_decoder_of(backbones: Path) -> Sam:
    """The same, from the files of the whole SAM.

    Raises:
        UserError: a file is missing or broken, or the weights are of another model.
    """
    return _load(backbones / "sam.json", backbones / "sam.safetensors")


def write_mask_decoder(backbones: Path, out: Path) -> None:
    """Write the prompt encoder and mask decoder of the whole SAM to a folder.

    Raises:
        UserError: a file is missing or broken, or holds numbers that are not finite.
    """
    sam = mask_decoder_of(backbones)
    sha256 = write_weights(out / WEIGHTS, sam.model)
    (out / CONFIG).write_text(config_json(sam.config, sha256), encoding="utf-8")


def _load(config: Path, weights: Path) -> Sam:
    sam = _without_encoder(read_sam_config(config))
    read_weights(weights, sam.model, PARTS)
    return sam


def _without_encoder(config: SamConfig) -> Sam:
    """A SAM whose weights are still to be read, and whose encoder was never given any memory."""
    with torch.device("meta"):
        whole = build_sam(config)
    parts = (part.to_empty(device="cpu") for part in (whole.prompt_encoder, whole.mask_decoder))
    return Sam(SegmentAnything(nn.Identity(), *parts), config)
