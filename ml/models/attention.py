"""Attention blocks shared by the heads. Leading dimensions are `[B, Q]`: an image and a query about it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Finite, so that a row with nothing to attend to (a padded query) stays finite; exp(-1e4) is 0 in every precision.
MASKED = -1e4


def key_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Bool `[..., K]` (True: attend) to an additive attention bias `[..., 1, 1, K]`."""
    return ((~mask).to(dtype) * MASKED).unsqueeze(-2).unsqueeze(-2)


def grid_positions(height: int, width: int, dim: int) -> Tensor:
    """Sine-cosine encoding of cell centres, `[h * w, dim]`; half the channels for y, half for x (ViT, MAE)."""
    frequencies = math.pi * 2.0 ** torch.linspace(0, 4, dim // 4)
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    angles = torch.cat([axis.reshape(-1, 1) * frequencies for axis in (y, x)], dim=1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Attention(nn.Module):
    """Multi-head attention of `x` over `memory`, each with its own width.

    Leading dimensions broadcast, and projections come before the broadcast: what the queries of an image share is
    projected once.
    """

    def __init__(self, dim: int, heads: int, memory_dim: int | None = None, inner: int | None = None) -> None:
        super().__init__()
        memory_dim, inner = memory_dim or dim, inner or dim
        self.heads = heads
        self.query = nn.Linear(dim, inner)
        self.key = nn.Linear(memory_dim, inner)
        self.value = nn.Linear(memory_dim, inner)
        self.out = nn.Linear(inner, dim)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor | None = None) -> Tensor:
        """Read memory `[B, Q, K, memory_dim]` for x `[B, Q, L, dim]`: `[B, Q, L, dim]`.

        bias, added before the softmax: `[B, Q, 1, 1, K]` or `[1, 1, 1, L, K]`.
        """
        return self.out(self.attend(x, memory, bias))

    def attend(self, x: Tensor, memory: Tensor, bias: Tensor | None = None) -> Tensor:
        """What `forward` returns, before the output projection: `[B, Q, L, inner]`."""
        batch, queries = (max(sizes) for sizes in zip(x.shape[:2], memory.shape[:2], strict=True))
        q, k, v = (
            split_heads(part, self.heads).expand(batch, queries, -1, -1, -1).flatten(0, 1)
            for part in (self.query(x), self.key(memory), self.value(memory))
        )
        flat = None if bias is None else bias.expand(batch, queries, -1, -1, -1).flatten(0, 1)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=flat)
        return attended.transpose(1, 2).flatten(2).unflatten(0, (batch, queries))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """`[B, Q, L, heads * c]` to `[B, Q, heads, L, c]`."""
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


class FeedForward(nn.Sequential):
    """Pre-norm two-layer perceptron; the caller adds the residual."""

    def __init__(self, dim: int, dropout: float, expansion: int = 2) -> None:
        hidden = dim * expansion
        super().__init__(
            nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )
