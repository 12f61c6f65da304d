"""Referring expressions: soft IoU and dice of the grounding against the one region that is meant."""

import torch
from torch import Tensor

from ml.objectives.bce_dice import dice_loss, masked_mean


def soft_iou_loss(logits: Tensor, targets: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean of 1 - |p t| / (|p| + |t| - |p t|), a scalar: logits and soft targets `[..., h, w]`, valid bool `[...]`."""
    probability = torch.sigmoid(logits)
    shared = (probability * targets).sum((-2, -1))
    union = (probability + targets).sum((-2, -1)) - shared
    return masked_mean(1 - (shared + 1) / (union + 1), valid)


def referring_loss(logits: Tensor, targets: Tensor, valid: Tensor | None = None) -> Tensor:
    """Soft IoU loss plus dice loss, a scalar; shapes as above."""
    return soft_iou_loss(logits, targets, valid) + dice_loss(logits, targets, valid)
