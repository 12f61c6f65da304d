"""SAM's mask decoder in two steps: every point is judged, and only the masks that SAM trusts are drawn.

The same numbers, bit for bit, as `segment_anything`'s MaskDecoder gives point by point, for half of the work: what all
points share of an image is computed once, and bringing a mask to the decoder's full resolution, which costs a third of
it, is left out where no mask of a point is trusted.
"""

from collections.abc import Iterator

import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor

from ml.models.frozen.sam import Sam

POINTS_PER_BATCH = 64
DRAWN = 8  # points whose masks are drawn at a time: more of them outgrow the processor's cache


def decode(sam: Sam, features: Tensor, points: Tensor, least: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Masks of points `[P, 2]` in the frame whose predicted IoU is above `least`, batch by batch.

    Logits `[M, S/4, S/4]` and predicted IoUs `[M]`, by point, then by mask of a point; a batch may have none.
    """
    decoder = sam.model.mask_decoder
    for batch in points.split(POINTS_PER_BATCH):
        tokens, grid = _attended(sam, features, batch)
        ious = decoder.iou_prediction_head(tokens[:, 0])[:, 1:]  # the first is of the mask for several points
        trusted = ious > least
        yield _drawn(decoder, tokens, grid.view(len(batch), *features.shape[-2:], -1), trusted), ious[trusted]


def _attended(sam: Sam, features: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Points `[P, 2]` and the image after attention between them: tokens `[P, T, C]`, image `[P, h * w, C]`.

    The image enters once: attention spreads it over the points, when it first differs between them.
    """
    encoder, decoder = sam.model.prompt_encoder, sam.model.mask_decoder
    labels = torch.ones(len(points), 1, dtype=torch.int, device=points.device)
    sparse, dense = encoder(points=(points[:, None], labels), boxes=None, masks=None)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(len(points), -1, -1)
    attended: tuple[Tensor, Tensor] = decoder.transformer(
        features + dense[:1], encoder.get_dense_pe(), torch.cat([own, sparse], dim=1)
    )
    return attended


def _drawn(decoder: MaskDecoder, tokens: Tensor, grid: Tensor, trusted: Tensor) -> Tensor:
    """Logits `[M, 4h, 4w]` of the masks that are true in `trusted` `[P, 3]`, from the attended image `[P, h, w, C]`."""
    layers = decoder.output_hypernetworks_mlps
    weights = torch.stack([layer(tokens[:, 1 + i]) for i, layer in enumerate(layers)], dim=1)
    drawn = [grid.new_empty(0, 4 * grid.shape[1], 4 * grid.shape[2])]
    for some in trusted.any(1).nonzero()[:, 0].split(DRAWN):
        fine = decoder.output_upscaling(grid[some].permute(0, 3, 1, 2))
        logits = (weights[some] @ fine.flatten(2)).unflatten(2, fine.shape[-2:])
        drawn.append(logits[:, 1:][trusted[some]])
    return torch.cat(drawn)
