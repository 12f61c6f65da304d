"""What the heads are to say of a batch's queries: which pixels, which regions, what they point to."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ml.training.data.batches import RELEVANT, Batch


def grounding_targets(batch: Batch) -> Tensor:
    """Where each query is grounded, `[B, Q, 4h, 4w]` in [0, 1]: the most relevant of the masks on each cell.

    Only masks of relevance 0.5 or more count; a query with none is grounded in its target, if it has one.
    """
    weights = torch.where(batch.relevance >= RELEVANT, batch.relevance, 0.0) * batch.valid.unsqueeze(1)
    weights = torch.where(weights.amax(-1, keepdim=True) > 0, weights, marked(batch.targets, batch))
    return painted(weights, batch.fine)


def meant(batch: Batch) -> Tensor:
    """The regions that each query means, `[B, Q, N]` of 0 and 1: its target, and any other of relevance 0.5 or more."""
    relevant = (batch.relevance >= RELEVANT) & batch.valid.unsqueeze(1)
    return torch.maximum(marked(batch.targets, batch), relevant.to(batch.relevance.dtype))


def pointing_targets(batch: Batch) -> Tensor:
    """What each query points to on the grid, `[B, Q, POINTERS, h, w]` in [0, 1]: its anchor, and all of its name."""
    coverage = batch.coverage
    return torch.stack([painted(marked(batch.anchors, batch), coverage), painted(batch.named, coverage)], dim=2)


def marked(regions: Tensor, batch: Batch) -> Tensor:
    """One-hot `[B, Q, N]` of regions int64 `[B, Q]`, all 0 for -1."""
    return F.one_hot(regions + 1, 1 + batch.valid.shape[1])[..., 1:].to(batch.relevance.dtype)


def painted(weights: Tensor, fine: Tensor) -> Tensor:
    """The largest of weight x coverage on each cell: weights `[B, Q, N]`, coverage `[B, N, ...]` on them."""
    out = torch.zeros(*weights.shape[:2], *fine.shape[2:], device=fine.device)
    for n in range(fine.shape[1]):  # one region at a time: all at once would take N times the memory
        torch.maximum(out, weights[:, :, n, None, None] * fine[:, None, n], out=out)
    return out
