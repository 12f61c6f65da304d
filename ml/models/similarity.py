"""What the frozen CLIP knows without any training: how far a region, or a cell, shows what a query speaks of."""

import torch
from torch import Tensor, nn

from ml.models.frozen.texts import REFERENTS
from ml.models.regions import Regions

SURE = 10.0  # the greatest logit of a region, of either sign
LEAST = 0.01  # the least probability of a cell: masks are not exact
UNKNOWN = -2.0  # logit of a cell where nothing is known: most show something else


class Similarity(nn.Module):
    """A logit that a region is what a query names, or its anchor: (cosine - midpoint) / scale, as in the labels.

    Names that were never seen together are as near to their regions there as any others; heads that learn names from
    the labels alone forget that.
    """

    def __init__(self, midpoint: float, scale: float, used: bool) -> None:
        """Without `used` it says nothing: 0 of all regions."""
        super().__init__()
        self.midpoint, self.scale, self.used = midpoint, scale, used

    def forward(self, crops: Tensor, referents: Tensor) -> Tensor:
        """Crops `[B, N, e]` and referents `[B, Q, REFERENTS, e]` to logits `[B, Q, N, REFERENTS]`."""
        if not self.used:
            return crops.new_zeros(*referents.shape[:2], crops.shape[1], REFERENTS)
        cosine = torch.einsum("bne,bqre->bqnr", crops, referents)
        return ((cosine - self.midpoint) / self.scale).clamp(-SURE, SURE)

    def shown(self, regions: Regions, referents: Tensor) -> Tensor:
        """Logits that a cell shows a referent, by the likeliest of the regions on it: `[B, Q, REFERENTS, h, w]`."""
        if not self.used:
            return regions.crops.new_full((*referents.shape[:3], *regions.coverage.shape[2:]), UNKNOWN)
        likely = torch.sigmoid(self(regions.crops, referents)) * regions.valid[:, None, :, None]
        painted = likely[..., None, None] * regions.coverage[:, None, :, None]
        return torch.logit(painted.amax(2), LEAST)
