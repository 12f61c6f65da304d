"""CoCa's captions a token at a time: keys and values of the image and of the words so far are kept.

Two stacks read a word, the text tower and, with the image before it, the decoder. Both are causal, so that neither
has to see again what it has seen.
"""

from typing import Any

import torch
from open_clip.transformer import MultimodalTransformer, ResidualAttentionBlock, TextTransformer
from torch import Tensor, nn
from torch.nn import functional as F

KeysValues = tuple[Tensor, Tensor]  # [B, heads, T, d / heads] each


class CachedDecoder:
    """The next word's logits, from the newest word alone: the numbers of `CoCa.forward`."""

    def __init__(self, tower: TextTransformer, decoder: MultimodalTransformer, image_tokens: Tensor) -> None:
        """Start captions of images `[B, K, d]`."""
        self._tower, self._decoder = tower, decoder
        self._image = [_keys_values(block.attn, block.ln_1_kv(image_tokens)) for block in decoder.cross_attn]
        self._read, self._said = Words(tower.transformer.resblocks), Words(decoder.resblocks)
        self._length = 0

    def step(self, newest: Tensor) -> Tensor:
        """Logits `[B, V]` of the word after ids `[B]`."""
        x = self._features(newest)
        for layer, across in enumerate(self._decoder.cross_attn):
            x = _block(across, self._said.block(layer, x), self._image[layer])
        self._length += 1
        return self._decoder.ln_final(x)[:, 0] @ self._decoder.text_projection

    def keep(self, rows: Tensor) -> None:
        """Go on with these captions only, bool `[B]`."""
        self._image = [(keys[rows], values[rows]) for keys, values in self._image]
        self._read.keep(rows)
        self._said.keep(rows)

    def _features(self, newest: Tensor) -> Tensor:
        """The text tower's features of the newest ids, `[B, 1, d]`; a CoCa's class token stands after all of them."""
        x = (self._tower.token_embedding(newest) + self._tower.positional_embedding[self._length])[:, None]
        for layer in range(len(self._tower.transformer.resblocks)):
            x = self._read.block(layer, x)
        return x if self._tower.cls_emb is not None else self._tower.ln_final(x)


class Words:
    """Residual blocks over words that come one by one."""

    def __init__(self, blocks: nn.ModuleList) -> None:
        self._blocks = blocks
        self._known: list[KeysValues | None] = [None] * len(blocks)

    def block(self, layer: int, x: Tensor) -> Tensor:
        """The newest words `[B, 1, d]` through a block, which sees those before, too."""
        block: Any = self._blocks[layer]
        newest, past = _keys_values(block.attn, block.ln_1(x)), self._known[layer]
        known = newest if past is None else (torch.cat([past[0], newest[0]], 2), torch.cat([past[1], newest[1]], 2))
        self._known[layer] = known
        return _block(block, x, known)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only, bool `[B]`."""
        self._known = [pair and (pair[0][rows], pair[1][rows]) for pair in self._known]


def _block(block: ResidualAttentionBlock, x: Tensor, known: KeysValues) -> Tensor:
    """A residual block whose keys and values are known, for words `[B, 1, d]`."""
    x = x + block.ls_1(_attend(block.attn, block.ln_1(x), known))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def _attend(attention: nn.MultiheadAttention, x: Tensor, known: KeysValues) -> Tensor:
    width = attention.embed_dim
    queries = _heads(F.linear(x, attention.in_proj_weight[:width], attention.in_proj_bias[:width]), attention)
    mixed = F.scaled_dot_product_attention(queries, *known)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))


def _keys_values(attention: nn.MultiheadAttention, x: Tensor) -> KeysValues:
    width = attention.embed_dim
    both = F.linear(x, attention.in_proj_weight[width:], attention.in_proj_bias[width:])
    keys, values = both.chunk(2, -1)
    return _heads(keys, attention), _heads(values, attention)


def _heads(x: Tensor, attention: nn.MultiheadAttention) -> Tensor:
    """`[B, T, d]` -> `[B, heads, T, d / heads]`."""
    return x.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)
