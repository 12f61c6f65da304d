"""From SAM's feature space to that of the vision-language model."""

import torch
from torch import Tensor, nn


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of `[B, C, h, w]`, whatever the grid (as in segment_anything)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each cell of x `[B, C, h, w]` over C; of the same shape."""
        centred = x - x.mean(1, keepdim=True)
        scaled = centred * torch.rsqrt(centred.square().mean(1, keepdim=True) + self.eps)
        return self.weight[:, None, None] * scaled + self.bias[:, None, None]


class Adapter(nn.Sequential):
    """`[B, C, h, w]` frozen SAM features to `[B, d, h, w]`; 1x1 convolutions keep each cell to itself."""

    def __init__(self, sam_dim: int, dim: int) -> None:
        super().__init__(nn.Conv2d(sam_dim, dim, 1), LayerNorm2d(dim), nn.GELU(), nn.Conv2d(dim, dim, 1))
