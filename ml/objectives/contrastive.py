"""Mask-region alignment: symmetric InfoNCE (Oord et al. 2018; Radford et al. 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.07


def contrastive_loss(
    regions: Tensor, masks: Tensor, scale: Tensor | float = 1 / TEMPERATURE, positives: Tensor | None = None
) -> Tensor:
    """Cross-entropy of each region against all masks and of each mask against all regions, averaged; a scalar.

    Args:
        regions: `[n, e]`, L2-normalised; row i belongs to mask i. Leave out what is not valid.
        masks: `[n, e]`, L2-normalised.
        scale: one over the temperature.
        positives: bool `[n, n]`, symmetric: pairs that are as good as the diagonal (the same thing seen twice), which
            share the target instead of being false negatives. None: the diagonal alone.
    """
    logits = regions @ masks.T * scale
    targets = torch.eye(len(regions), device=regions.device)
    if positives is not None:
        targets = torch.maximum(targets, positives.to(targets.dtype))
        targets = targets / targets.sum(1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def same_target(masks: Tensor, threshold: float = 0.98) -> Tensor:
    """Bool `[n, n]`: which of the L2-normalised embeddings `[n, e]` are near-identical by cosine."""
    return masks @ masks.T > threshold
