"""The frozen text features as the heads read them."""

import torch
from torch import Tensor, nn

from ml.models.attention import key_bias
from ml.models.clip import TextFeatures


class TextProjection(nn.Module):
    """Projects token features to `dim` and puts the pooled feature before them as a token of its own."""

    def __init__(self, text_dim: int, embed_dim: int, dim: int) -> None:
        super().__init__()
        self.tokens = nn.Sequential(nn.LayerNorm(text_dim), nn.Linear(text_dim, dim))
        self.pooled = nn.Sequential(nn.LayerNorm(embed_dim), nn.Linear(embed_dim, dim))

    def forward(self, text: TextFeatures) -> tuple[Tensor, Tensor]:
        """Features with leading `[B, Q]` to tokens `[B, Q, 1 + T, d]` and their bias `[B, Q, 1, 1, 1 + T]`."""
        pooled = self.pooled(text.pooled).unsqueeze(-2)
        tokens = torch.cat([pooled, self.tokens(text.tokens)], dim=-2)
        mask = torch.cat([torch.ones_like(text.mask[..., :1]), text.mask], dim=-1)
        return tokens, key_bias(mask, tokens.dtype)
