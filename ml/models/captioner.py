"""A small autoregressive decoder over region, image and question tokens: captions and answers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml.models.attention import MASKED, Attention, FeedForward, key_bias


class DecoderBlock(nn.Module):
    """Causal self-attention, attention to the memory, perceptron."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_norm, self.cross_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.among, self.cross = Attention(dim, heads), Attention(dim, heads)
        self.feed_forward = FeedForward(dim, dropout)

    def forward(self, x: Tensor, memory: Tensor, causal: Tensor, bias: Tensor | None) -> Tensor:
        """Tokens x `[M, 1, L, d]`, memory `[M, 1, K, d]` -> `[M, 1, L, d]`.

        causal `[1, 1, 1, L, L]` and bias `[M, 1, 1, 1, K]`: added to the attention, over x and over the memory.
        """
        normed = self.self_norm(x)
        x = x + self.among(normed, normed, causal)
        x = x + self.cross(self.cross_norm(x), memory, bias)
        return x + self.feed_forward(x)


class Captioner(nn.Module):
    """Token logits given a memory; the output projection is the embedding itself."""

    def __init__(self, vocab_size: int, context_length: int, dim: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim)
        self.positions = nn.Parameter(torch.randn(context_length, dim) * 0.02)
        self.memory_norm = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(DecoderBlock(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)

    def forward(self, memory: Tensor, ids: Tensor, memory_mask: Tensor | None = None) -> Tensor:
        """From memory `[M, K, d]`, ids `[M, L]`, mask bool `[M, K]` to next-token logits `[M, L, V]`."""
        length = ids.shape[1]
        memory = self.memory_norm(memory).unsqueeze(1)
        bias = None if memory_mask is None else key_bias(memory_mask, memory.dtype).unsqueeze(1)
        x = (self.embedding(ids) + self.positions[:length]).unsqueeze(1)
        causal = torch.full((length, length), MASKED, device=ids.device, dtype=x.dtype).triu(1)
        for block in self.blocks:
            x = block(x, memory, causal[None, None, None], bias)
        return F.linear(self.norm(x.squeeze(1)), self.embedding.weight)

    @torch.no_grad()
    def generate(
        self, memory: Tensor, start_id: int, end_id: int, max_len: int, memory_mask: Tensor | None = None
    ) -> Tensor:
        """Greedy decoding: ids `[M, L]`, L <= `max_len`, start token first; after its end token a row repeats it."""
        ids = torch.full((len(memory), 1), start_id, dtype=torch.long, device=memory.device)
        while ids.shape[1] < max_len and not bool((ids == end_id).any(1).all()):
            best = self(memory, ids, memory_mask)[:, -1].argmax(-1)
            done = (ids == end_id).any(1)
            ids = torch.cat([ids, torch.where(done, end_id, best).unsqueeze(1)], dim=1)
        return ids
