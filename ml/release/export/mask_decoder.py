"""SAM without its image encoder, as two graphs: what judges points, and what draws the masks of those it trusts.

Only these parts of `sam.safetensors` are read: 16 MB of up to 2.5 GB.
"""

from pathlib import Path

import torch
from segment_anything.modeling import Sam as SegmentAnything
from torch import Tensor, nn
from torch.export import Dim

from ml.models.frozen.sam import Sam, SamConfig, build_sam, read_sam_config
from ml.models.weights import read_weights
from ml.release.export.towers import export
from ml.release.runtime.proposals import DRAWING, POINTS

PARTS = ("prompt_encoder.", "mask_decoder.")


class Points(nn.Module):
    """Features `[1, C, h, w]`, points `[P, 2]` of the frame -> tokens `[P, T, C]`, grid `[P, h * w, C]`, IoUs `[P, 3]`.

    The image enters once: attention spreads it over the points, when it first differs between them.
    """

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.encoder, self.decoder, self.side = sam.model.prompt_encoder, sam.model.mask_decoder, sam.image_size

    def forward(self, features: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A prompt is one point of what is meant, and one that is none, which SAM was trained to see beside it.

        The exporter follows a shape, and would take `len` for a constant.
        """
        there = self.encoder.pe_layer._pe_encoding((points + 0.5) / self.side) + self.encoder.point_embeddings[1].weight
        none = self.encoder.not_a_point_embed.weight.expand(points.shape[0], -1)
        own = torch.cat([self.decoder.iou_token.weight, self.decoder.mask_tokens.weight])
        prompt = torch.cat([own.expand(points.shape[0], -1, -1), torch.stack([there, none], dim=1)], dim=1)
        plain = self.encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        tokens, grid = self.decoder.transformer(features + plain, self.encoder.get_dense_pe(), prompt)
        return tokens, grid, self.decoder.iou_prediction_head(tokens[:, 0])[:, 1:]


class Drawing(nn.Module):
    """Attended tokens `[P, T, C]` and grid `[P, h * w, C]` -> logits of each point's three masks `[P, 3, 4h, 4w]`."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.decoder, self.grid = sam.model.mask_decoder, sam.grid

    def forward(self, tokens: Tensor, grid: Tensor) -> Tensor:
        """The first of SAM's four masks is of prompts of several points, and is left out."""
        layers = self.decoder.output_hypernetworks_mlps
        weights = torch.stack([layers[i](tokens[:, 1 + i]) for i in range(1, len(layers))], dim=1)
        fine = self.decoder.output_upscaling(grid.transpose(1, 2).unflatten(2, (self.grid, self.grid)))
        return (weights @ fine.flatten(2)).unflatten(2, fine.shape[-2:])


def export_mask_decoder(sam: Sam, out: Path) -> None:
    """Write the two graphs into a folder; they take any number of points."""
    prompts = Dim("prompts")
    example = {
        "features": torch.randn(1, sam.channels, sam.grid, sam.grid),
        "points": torch.rand(5, 2) * sam.image_size,
    }
    export(Points(sam), example, ["tokens", "grid", "ious"], out / POINTS, {"points": {0: prompts}})
    attended = {"tokens": torch.randn(5, 7, sam.channels), "grid": torch.randn(5, sam.grid**2, sam.channels)}
    export(Drawing(sam), attended, ["logits"], out / DRAWING, {name: {0: prompts} for name in attended})


def mask_decoder_of(backbones: Path) -> Sam:
    """A SAM that encodes no images, from the files of the whole one.

    Raises:
        UserError: a file is missing or broken, or the weights are of another model.
    """
    sam = _without_encoder(read_sam_config(backbones / "sam.json"))
    read_weights(backbones / "sam.safetensors", sam.model, PARTS)
    return sam


def _without_encoder(config: SamConfig) -> Sam:
    """A SAM whose weights are still to be read, and whose encoder was never given any memory."""
    with torch.device("meta"):
        whole = build_sam(config)
    parts = (part.to_empty(device="cpu") for part in (whole.prompt_encoder, whole.mask_decoder))
    return Sam(SegmentAnything(nn.Identity(), *parts), config)
