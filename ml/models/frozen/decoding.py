"""CoCa's caption decoder a token at a time: keys and values of the image and of the words so far are kept."""

import torch
from open_clip.transformer import MultimodalTransformer, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

KeysValues = tuple[Tensor, Tensor]  # [B, heads, T, d / heads] each


class CachedDecoder:
    """The next word's logits, from the newest word alone. The same numbers as `MultimodalTransformer.forward`'s."""

    def __init__(self, decoder: MultimodalTransformer, image_tokens: Tensor) -> None:
        """Start captions of images `[B, K, d]`."""
        self._decoder = decoder
        self._image = [_keys_values(block.attn, block.ln_1_kv(image_tokens)) for block in decoder.cross_attn]
        self._words: list[KeysValues | None] = [None] * len(self._image)

    def step(self, newest: Tensor) -> Tensor:
        """Logits `[B, V]` of the word after `newest`, the text tower's features of the last word, `[B, d]`."""
        x = newest[:, None]
        for layer, (own, across) in enumerate(zip(self._decoder.resblocks, self._decoder.cross_attn, strict=True)):
            self._words[layer] = words = self._extended(layer, _keys_values(own.attn, own.ln_1(x)))
            x = _block(own, x, words)
            x = _block(across, x, self._image[layer])
        return self._decoder.ln_final(x)[:, 0] @ self._decoder.text_projection

    def keep(self, rows: Tensor) -> None:
        """Go on with these captions only, bool `[B]`."""
        self._image = [(keys[rows], values[rows]) for keys, values in self._image]
        self._words = [(pair[0][rows], pair[1][rows]) for pair in self._words if pair]

    def _extended(self, layer: int, newest: KeysValues) -> KeysValues:
        past = self._words[layer]
        return newest if past is None else (torch.cat([past[0], newest[0]], 2), torch.cat([past[1], newest[1]], 2))


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
