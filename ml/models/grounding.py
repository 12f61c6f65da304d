"""Text to pixels: two-way attention between the tokens of a query and the image grid, then upsampling."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml.models.adapter import LayerNorm2d
from ml.models.attention import Attention, FeedForward, grid_positions
from ml.models.frozen.texts import QueryFeatures
from ml.models.places import PLACES, SIZES, places, sizes
from ml.models.similarity import Shown
from ml.models.text import TextProjection

SPLIT = 2  # parts that a pixel is split into along a side, once by convolution and once more by kernels
UPSCALE = SPLIT**2  # from the grid to the logits, as in SAM's mask decoder
EMPTY = -2.0  # logit to start from: most pixels are not meant
POINTERS = 2  # to the anchor, and to what the name alone might mean


class Grounding(NamedTuple):
    """Logits of "this pixel is meant" `[B, Q, 4h, 4w]`, and of "this cell is pointed to" `[B, Q, POINTERS, h, w]`."""

    pixels: Tensor
    pointed: Tensor


class TwoWayBlock(nn.Module):
    """Tokens among themselves, tokens to grid, perceptron on the tokens, grid to tokens (SAM's mask decoder).

    The grid is kept once a query, so it is held at a quarter of the width and gets no perceptron of its own.
    """

    def __init__(self, dim: int, grid_dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.token_norm, self.read_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.grid_norm, self.write_norm = nn.LayerNorm(grid_dim), nn.LayerNorm(dim)
        self.among = Attention(dim, heads)
        self.read = Attention(dim, heads // 2, memory_dim=grid_dim, inner=grid_dim)
        self.feed_forward = FeedForward(dim, dropout)
        self.write = Attention(grid_dim, heads // 2, memory_dim=dim, inner=grid_dim)

    def forward(self, tokens: Tensor, grid: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `[B, Q, T, d]` and grid `[B, Q, h * w, grid_dim]` after the block, from those before it.

        Before it the grid may be `[B, 1, h * w, grid_dim]`, one for all queries. bias, over tokens: `[B, Q, 1, 1, T]`.
        """
        normed = self.token_norm(tokens)
        tokens = tokens + self.among(normed, normed, bias)
        cells = self.grid_norm(grid)
        tokens = tokens + self.read(self.read_norm(tokens), cells)
        tokens = tokens + self.feed_forward(tokens)
        return tokens, grid + self.write(cells, self.write_norm(tokens), bias)


class GroundingHead(nn.Module):
    """Logits of "this pixel is meant" for each query, at four times the grid's resolution.

    They are a sum of three: how well a pixel fits the query (a kernel over pixel features that all queries of an image
    share; SAM's hypernetwork), what each cell of the grid has learned from the query, read out at sub-cell resolution,
    and how a cell lies to what the query points to. The kernel is made from the query's first token after the blocks,
    and linearly from the frozen feature of what is named: that lives in the space which the regions were aligned with,
    so names are grounded within a few steps, in whatever expression they stand. The same goes for what is pointed to.
    The third is linear in the places and sizes, and in the query: "leftmost" is one weight, where
    attention between tokens and cells has not come to it after hundreds of steps. What is pointed to is a residual of
    what the frozen similarity shows there.
    """

    positions: Tensor

    def __init__(
        self, text_dim: int, embed_dim: int, dim: int, grid: int, heads: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        grid_dim, pixel_dim = dim // 4, dim // 2
        self.text = TextProjection(text_dim, embed_dim, dim, heads)
        self.project = nn.Conv2d(dim, grid_dim, 1)
        self.register_buffer("positions", grid_positions(grid, grid, grid_dim), persistent=False)
        self.blocks = nn.ModuleList(TwoWayBlock(dim, grid_dim, heads, dropout) for _ in range(layers))
        self.pixels = nn.Sequential(
            nn.ConvTranspose2d(dim, pixel_dim, SPLIT, stride=SPLIT),
            LayerNorm2d(pixel_dim),
            nn.GELU(),
        )
        self.point = nn.Sequential(nn.LayerNorm(grid_dim), nn.Linear(grid_dim, POINTERS))
        self.seen, self.spoken = nn.Conv2d(dim, pixel_dim, 1), nn.Linear(embed_dim, pixel_dim, bias=False)
        self.asked = nn.Parameter(torch.randn(1, 1, 1, dim))
        self.ask = Attention(dim, heads)
        self.wanted = nn.Linear(dim, POINTERS * (PLACES + SIZES))
        self.quarters = nn.Linear(pixel_dim, SPLIT**2 * pixel_dim, bias=False)
        self.named = nn.Linear(embed_dim, pixel_dim)
        self.kernel = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, pixel_dim + 1))
        self.cells = nn.Sequential(nn.LayerNorm(grid_dim), nn.Linear(grid_dim, UPSCALE**2))

    def forward(self, grid: Tensor, text: QueryFeatures, shown: Shown) -> Grounding:
        """Logits from a grid `[B, d, h, w]` and text with leading `[B, Q]`; the first block's cells point."""
        size = grid.shape[-2:]
        tokens, bias = self.text(text)
        wanted = self.wanted(self.ask(self.asked, tokens, bias))
        cells = (self.project(grid).flatten(2).transpose(1, 2) + self.positions).unsqueeze(1)
        first, *others = self.blocks
        tokens, cells = first(tokens, cells, bias)
        near = self.point(cells).transpose(-1, -2) + self.spoken_of(grid, text.referents)
        pointed = near.unflatten(-1, size).float() + shown.logits.flip(2)  # the name comes first there, here last
        for block in others:
            tokens, cells = block(tokens, cells, bias)
        fit = self.fit(self.pixels(grid), tokens[:, :, 0], text.referents[:, :, 0])
        lies = wanted @ self.lies(torch.sigmoid(pointed), shown.sizes).flatten(2, 3).flatten(3).to(wanted.dtype)
        fine = self.cells(cells).transpose(-1, -2) + lies
        return Grounding(fit + F.pixel_shuffle(fine.unflatten(-1, size), UPSCALE).squeeze(-3), pointed)

    def lies(self, probability: Tensor, large: Tensor) -> Tensor:
        """Places and sizes of each cell against what is pointed to: `[B, Q, POINTERS, PLACES + SIZES, h, w]`."""
        of_name = large[:, :, :1].expand_as(large)
        return torch.cat([places(probability), sizes(probability, of_name, large.flip(2))], dim=3)

    def spoken_of(self, grid: Tensor, referents: Tensor) -> Tensor:
        """Cells of a grid `[B, d, h, w]` against anchors and names `[B, Q, REFERENTS, e]`: `[B, Q, POINTERS, h w]`."""
        kernels = self.spoken(referents * referents.shape[-1] ** 0.5).flip(2)
        cells = self.seen(grid).flatten(2)
        return (kernels.flatten(1, 2) @ cells).unflatten(1, (-1, POINTERS)) * cells.shape[1] ** -0.5

    def fit(self, pixels: Tensor, first: Tensor, named: Tensor) -> Tensor:
        """Pixels `[B, p, 2h, 2w]` against first tokens `[B, Q, d]`, names' features `[B, Q, e]`: `[B, Q, 4h, 4w]`.

        The last doubling is of the kernels, one for each quarter of a pixel, and not of the pixels: the same function
        as a transposed convolution before the product, at a tenth of the cost.
        """
        learned = self.kernel(first)
        kernel = learned[..., :-1] + self.named(named * named.shape[-1] ** 0.5)
        kernels = self.quarters(kernel).unflatten(-1, (SPLIT**2, -1)).flatten(1, 2)
        match = (kernels @ pixels.flatten(2)).unflatten(-1, pixels.shape[-2:]).unflatten(1, (-1, SPLIT**2))
        fit = F.pixel_shuffle(match, SPLIT).squeeze(2) * kernel.shape[-1] ** -0.5
        return fit + learned[..., -1:, None] + EMPTY


def pooled_over_regions(logits: Tensor, weights: Tensor) -> Tensor:
    """Mean and max probability of grounding logits `[B, Q, 4h, 4w]` under coverage `[B, N, h, w]` -> `[B, Q, N, 2]`."""
    probability = F.avg_pool2d(torch.sigmoid(logits), UPSCALE).flatten(2)
    flat = weights.flatten(2)
    mean = probability @ (flat / flat.sum(-1, keepdim=True).clamp_min(1e-6)).transpose(1, 2)
    strongest = (probability.unsqueeze(2) * (flat / flat.amax(-1, keepdim=True).clamp_min(1e-6)).unsqueeze(1)).amax(-1)
    return torch.stack([mean, strongest], dim=-1)
