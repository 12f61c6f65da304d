"""What a query is told against: cross-entropy over "nothing" and the regions of the image."""

import torch.nn.functional as F
from torch import Tensor

from ml.objectives.bce_dice import masked_mean


def anchor_loss(logits: Tensor, anchors: Tensor, asked: Tensor) -> Tensor:
    """Mean cross-entropy over the queries that are there, a scalar.

    logits `[B, Q, 1 + N]`, "nothing" first; anchors int64 `[B, Q]`, a region or -1 for none; asked bool `[B, Q]`.
    """
    losses = F.cross_entropy(logits.flatten(0, 1), (anchors + 1).flatten(), reduction="none")
    return masked_mean(losses.view_as(anchors), asked)
