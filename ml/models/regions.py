"""Region features: what the grid says inside a mask, and where and what shape the mask is."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PARTS = 2  # parts of a box along an axis, each pooled on its own: a roof is above its walls
SHAPE_BINS = 4  # resolution of the mask's outline inside its box
GEOMETRY = 11
PAIR_GEOMETRY = 15
TOUCH = 30.0  # makes the little that touching masks have in common, a few hundredths of their area, count
SMALLEST = 1e-3  # of the frame's side: keeps logarithms and quotients of empty boxes finite


class Regions(NamedTuple):
    """The regions of B images, padded to N.

    Attributes:
        features: `[B, N, d]`, what `RegionEncoder` says of them.
        boxes: `[B, N, 4]`, xyxy in [0, 1] of the frame.
        coverage: `[B, N, h, w]`, the share of each cell that is theirs.
        crops: `[B, N, e]`, the frozen CLIP's embeddings of their masked crops, L2-normalised.
        valid: bool `[B, N]`; the others are padding.
    """

    features: Tensor
    boxes: Tensor
    coverage: Tensor
    crops: Tensor
    valid: Tensor


class RegionEncoder(nn.Module):
    """Pools the grid over each mask (spatial pyramid pooling, He et al. 2014) and adds the box's geometry."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.whole = nn.Linear(dim, dim)
        self.parts = nn.Linear(PARTS**2 * dim, dim)
        self.geometry = nn.Sequential(nn.Linear(GEOMETRY + SHAPE_BINS**2, dim), nn.GELU(), nn.Linear(dim, dim))
        self.mix = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, grid: Tensor, coverage: Tensor, boxes: Tensor) -> Tensor:
        """From grid `[B, d, h, w]`, coverage `[B, N, h, w]`, boxes `[B, N, 4]` xyxy in [0, 1] to `[B, N, d]`."""
        weights = filled(coverage, boxes)
        geometry = torch.cat([box_geometry(boxes, coverage), outline(weights, boxes)], dim=-1)
        parts = pool(grid, part_weights(weights, boxes)).flatten(2)
        x = self.whole(pool(grid, weights.unsqueeze(2)).squeeze(2)) + self.parts(parts) + self.geometry(geometry)
        return x + self.mix(x)


def filled(coverage: Tensor, boxes: Tensor) -> Tensor:
    """Coverage `[B, N, h, w]`; a mask too small to cover anything gets the cell under its box's centre."""
    height, width = coverage.shape[-2:]
    x, y = _centres(boxes).unbind(-1)
    row = (y * height).floor().clamp(0, height - 1).unsqueeze(-1) == torch.arange(height, device=boxes.device)
    column = (x * width).floor().clamp(0, width - 1).unsqueeze(-1) == torch.arange(width, device=boxes.device)
    cell = (row.unsqueeze(-1) & column.unsqueeze(-2)).to(coverage.dtype)
    empty = coverage.sum((-2, -1), keepdim=True) < SMALLEST**2
    return torch.where(empty, cell, coverage)


def pool(grid: Tensor, weights: Tensor) -> Tensor:
    """Weighted means of grid `[B, d, h, w]` under weights `[B, N, P, h, w]` -> `[B, N, P, d]`."""
    weights = weights.flatten(3)
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(SMALLEST**2)
    return (weights.flatten(1, 2) @ grid.flatten(2).transpose(1, 2)).unflatten(1, weights.shape[1:3])


def bins(low: Tensor, high: Tensor, cells: int, count: int) -> Tensor:
    """Linear interpolation weights of cell centres along a box's side: `[B, N]` ends -> `[B, N, count, cells]`."""
    centres = (torch.arange(cells, device=low.device, dtype=low.dtype) + 0.5) / cells
    extent = (high - low).clamp_min(SMALLEST).unsqueeze(-1)
    along = ((centres - low.unsqueeze(-1)) / extent).clamp(0, 1) * (count - 1)
    nodes = torch.arange(count, device=low.device, dtype=low.dtype).unsqueeze(-1)
    return F.relu(1 - (along.unsqueeze(-2) - nodes).abs())


def part_weights(weights: Tensor, boxes: Tensor) -> Tensor:
    """Shares of `[B, N, h, w]` in the box's corners: `[B, N, PARTS ** 2, h, w]`."""
    vertical, horizontal = _axes(weights, boxes, PARTS)
    corners = vertical.unsqueeze(-2).unsqueeze(-1) * horizontal.unsqueeze(-3).unsqueeze(-2)
    return corners.flatten(2, 3) * weights.unsqueeze(2)


def outline(weights: Tensor, boxes: Tensor) -> Tensor:
    """The mask's shape inside its box as a histogram that sums to one: `[B, N, SHAPE_BINS ** 2]`."""
    vertical, horizontal = _axes(weights, boxes, SHAPE_BINS)
    histogram = (vertical @ weights @ horizontal.transpose(-1, -2)).flatten(2)
    return histogram / histogram.sum(-1, keepdim=True).clamp_min(SMALLEST**2)


def box_geometry(boxes: Tensor, coverage: Tensor) -> Tensor:
    """Corners, size, area, their logarithms, and the share of the box that the mask fills: `[B, N, GEOMETRY]`."""
    sides = _sides(boxes)
    area = sides.prod(-1, keepdim=True)
    fill = coverage.mean((-2, -1)).unsqueeze(-1) / area
    return torch.cat([boxes, sides, area, sides.log(), area.log(), fill.clamp(max=2)], dim=-1)


def pair_geometry(boxes: Tensor, coverage: Tensor) -> Tensor:
    """How region i lies to region j: `[B, N, N, PAIR_GEOMETRY]`.

    Offsets of the centres (raw, and in steps that saturate beyond a few hundredths of the frame), which axis
    dominates, logarithms of the size ratios, containment both ways of boxes, and of masks, and whether masks touch.
    """
    offset = _centres(boxes).unsqueeze(2) - _centres(boxes).unsqueeze(1)
    logs = _sides(boxes).log()
    ratio = logs.unsqueeze(2) - logs.unsqueeze(1)
    fill = coverage.mean((-2, -1)).clamp_min(SMALLEST**2).log()
    larger = (fill.unsqueeze(2) - fill.unsqueeze(1)).unsqueeze(-1)
    dominant = torch.tanh(10 * (offset[..., :1].abs() - offset[..., 1:].abs()))
    return torch.cat(
        [offset, torch.tanh(10 * offset), dominant, ratio, larger, torch.tanh(2 * larger), _overlaps(boxes, coverage)],
        dim=-1,
    )


def _overlaps(boxes: Tensor, coverage: Tensor) -> Tensor:
    low = torch.maximum(boxes[..., :2].unsqueeze(2), boxes[..., :2].unsqueeze(1))
    high = torch.minimum(boxes[..., 2:].unsqueeze(2), boxes[..., 2:].unsqueeze(1))
    shared = (high - low).clamp_min(0).prod(-1)
    flat = coverage.flatten(2)
    covered = flat @ flat.transpose(1, 2)
    within = torch.stack(
        [*_containments(shared, _sides(boxes).prod(-1)), *_containments(covered, flat.sum(-1))], dim=-1
    )
    return torch.cat([within, torch.tanh(TOUCH * within[..., 2:])], dim=-1)


def _containments(shared: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    area = area.clamp_min(SMALLEST**2)
    return shared / area.unsqueeze(2), shared / area.unsqueeze(1)


def _axes(weights: Tensor, boxes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return bins(y1, y2, weights.shape[-2], count), bins(x1, x2, weights.shape[-1], count)


def _centres(boxes: Tensor) -> Tensor:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _sides(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(SMALLEST)
