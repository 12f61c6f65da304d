"""How many: a sum over regions, which attention cannot give, since its weights always sum to one."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

MOST = 10  # the greatest number told apart


class Counted(NamedTuple):
    """Of each question how many regions are what it names `[B, Q]`, and the same as an embedding `[B, Q, d]`."""

    counts: Tensor
    tokens: Tensor


class Counter(nn.Module):
    """Soft counting (after Zhang et al., "Learning to count objects in natural images for VQA", 2018).

    A region counts as far as the frozen similarity says that it is what is named, and a gate on its features that it is
    one thing: a crop of a group looks like its members. Near-duplicates are the proposals' to remove.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim // 2), nn.GELU(), nn.Linear(dim // 2, 1))
        self.told = nn.Linear(MOST + 1, dim)

    def forward(self, regions: Tensor, similar: Tensor, valid: Tensor) -> Counted:
        """From regions `[B, N, d]`, logits that they are what is named `[B, Q, N]`, valid bool `[B, N]`."""
        single = torch.sigmoid(self.one(regions).squeeze(-1)) * valid
        counts = (torch.sigmoid(similar) * single.unsqueeze(1)).sum(-1)
        numbers = torch.arange(MOST + 1, device=counts.device, dtype=counts.dtype)
        near = torch.relu(1 - (counts.clamp(max=MOST).unsqueeze(-1) - numbers).abs())
        return Counted(counts, self.told(near))
