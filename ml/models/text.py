"""The frozen text features as the heads read them."""

import math

import torch
from torch import Tensor, nn

from ml.models.attention import Attention, FeedForward, key_bias
from ml.models.frozen.clip import TextFeatures


class TextProjection(nn.Module):
    """Projects token features to `dim` and puts the pooled feature before them as a token of its own.

    The words' places are told anew, and the words read one another once: the frozen features hardly tell which noun
    is left of which, since in the captions that the tower was trained on that makes no difference.
    """

    def __init__(self, text_dim: int, embed_dim: int, dim: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Sequential(nn.LayerNorm(text_dim), nn.Linear(text_dim, dim))
        self.pooled = nn.Sequential(nn.LayerNorm(embed_dim), nn.Linear(embed_dim, dim))
        self.norm = nn.LayerNorm(dim)
        self.among = Attention(dim, heads)
        self.feed_forward = FeedForward(dim, dropout=0.0)

    def forward(self, text: TextFeatures) -> tuple[Tensor, Tensor]:
        """Features with leading `[B, Q]` to tokens `[B, Q, 1 + T, d]` and their bias `[B, Q, 1, 1, 1 + T]`."""
        pooled = self.pooled(text.pooled).unsqueeze(-2)
        tokens = torch.cat([pooled, self.tokens(text.tokens)], dim=-2)
        tokens = tokens + sequence_positions(tokens.shape[-2], tokens.shape[-1], tokens.device).to(tokens.dtype)
        mask = torch.cat([torch.ones_like(text.mask[..., :1]), text.mask], dim=-1)
        bias = key_bias(mask, tokens.dtype)
        normed = self.norm(tokens)
        tokens = tokens + self.among(normed, normed, bias)
        return tokens + self.feed_forward(tokens), bias


def sequence_positions(length: int, dim: int, device: torch.device) -> Tensor:
    """Sine-cosine encoding of places in a sequence, `[length, dim]` (Vaswani et al., 2017; periods up to 64 tokens)."""
    frequencies = 2 * math.pi / 64 ** torch.linspace(0.125, 1, dim // 2, device=device)
    angles = torch.arange(length, device=device).unsqueeze(1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
