"""Grounding: binary cross-entropy and dice on soft targets (Milletari et al. 2016; Kirillov et al. 2023)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def bce_loss(logits: Tensor, targets: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy, a scalar: logits and soft targets `[..., h, w]`, valid bool `[...]`."""
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean((-2, -1))
    return masked_mean(each, valid)


def dice_loss(logits: Tensor, targets: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean of 1 - 2 |p t| / (|p| + |t|), a scalar: logits and soft targets `[..., h, w]`, valid bool `[...]`."""
    probability = torch.sigmoid(logits)
    shared = (probability * targets).sum((-2, -1))
    total = (probability + targets).sum((-2, -1))
    return masked_mean(1 - (2 * shared + 1) / (total + 1), valid)


def bce_dice_loss(
    logits: Tensor, targets: Tensor, valid: Tensor | None = None, bce_weight: float = 1.0, dice_weight: float = 1.0
) -> Tensor:
    """Weighted sum of the two, a scalar; `valid` (bool `[...]`) leaves padded queries out."""
    return bce_weight * bce_loss(logits, targets, valid) + dice_weight * dice_loss(logits, targets, valid)


def masked_mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of `values` where `valid` (bool, broadcast; None: everywhere); 0 where nothing is valid."""
    if valid is None:
        return values.mean()
    weights = valid.to(values.dtype).expand_as(values)
    return (values * weights).sum() / weights.sum().clamp_min(1)
