"""What a query points to on the way to its answer: its anchor, and the regions that its name alone might mean."""

import torch.nn.functional as F
from torch import Tensor

from ml.objectives.bce_dice import masked_mean


def anchor_loss(logits: Tensor, anchors: Tensor, asked: Tensor) -> Tensor:
    """Mean cross-entropy over the queries that are there, a scalar.

    logits `[B, Q, 1 + N]`, "nothing" first; anchors int64 `[B, Q]`, a region or -1 for none; asked bool `[B, Q]`.
    """
    losses = F.cross_entropy(logits.flatten(0, 1), (anchors + 1).flatten(), reduction="none")
    return masked_mean(losses.view_as(anchors), asked)


def name_loss(logits: Tensor, named: Tensor, valid: Tensor) -> Tensor:
    """Mean binary cross-entropy over what is valid, a scalar: logits and targets `[B, Q, N]`, bool `[B, Q, N]`."""
    return masked_mean(F.binary_cross_entropy_with_logits(logits, named, reduction="none"), valid)
