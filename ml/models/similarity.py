"""What the frozen CLIP knows without any training: how far a region, or a cell, shows what a query speaks of."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ml.models.frozen.texts import REFERENTS
from ml.models.regions import SMALLEST, Regions

SURE = 10.0  # the greatest logit of a region, of either sign
LEAST = 0.01  # the least probability of a cell: masks are not exact
NORM = 8  # the power of its probability by which a region counts on a cell: hardly any but the likeliest does
NOTHING = 1e-36  # the least that counts at all


class Shown(NamedTuple):
    """What the cells of a grid show of a query's referents, each `[B, Q, REFERENTS, h, w]`.

    Attributes:
        logits: that a cell shows the referent, by the likeliest of the regions on it.
        sizes: how large that region is, as the logarithm of its side; the frame's is 0, and that of no region.
    """

    logits: Tensor
    sizes: Tensor


class Similarity(nn.Module):
    """A logit that a region is what a query names, or its anchor: (cosine - midpoint) / scale, as in the labels.

    Names that were never seen together are as near to their regions there as any others; heads that learn names from
    the labels alone forget that.
    """

    def __init__(self, midpoint: float, scale: float, used: bool) -> None:
        """Without `used` it says nothing: 0 of all regions, of which it still shows where they are, and how large."""
        super().__init__()
        self.midpoint, self.scale, self.used = midpoint, scale, used

    def forward(self, crops: Tensor, referents: Tensor) -> Tensor:
        """Crops `[B, N, e]` and referents `[B, Q, REFERENTS, e]` to logits `[B, Q, N, REFERENTS]`."""
        if not self.used:
            return crops.new_zeros(*referents.shape[:2], crops.shape[1], REFERENTS)
        cosine = torch.einsum("bne,bqre->bqnr", crops, referents)
        return ((cosine - self.midpoint) / self.scale).clamp(-SURE, SURE)

    def shown(self, regions: Regions, referents: Tensor) -> Shown:
        """What each cell shows.

        The regions on it count by powers of their probability: a maximum of all of them on all cells would take N
        times the memory of these products.
        """
        likely = torch.sigmoid(self(regions.crops, referents).float()).clamp_min(LEAST)
        counts = (likely * regions.valid[:, None, :, None]).transpose(2, 3).flatten(1, 2) ** NORM
        coverage = regions.coverage.float()
        on_cells = coverage.flatten(2) ** NORM
        there = counts @ on_cells
        sizes = (counts * sides(coverage).unsqueeze(1)) @ on_cells / there.clamp_min(NOTHING)
        shape = (*referents.shape[1:3], *coverage.shape[2:])
        return Shown(torch.logit(there ** (1 / NORM), LEAST).view(-1, *shape), sizes.view(-1, *shape))


def sides(coverage: Tensor) -> Tensor:
    """Logarithms of the sides of squares as large as the regions of coverage `[B, N, h, w]`: `[B, N]`."""
    return 0.5 * coverage.mean((-2, -1)).clamp_min(SMALLEST**2).log()
