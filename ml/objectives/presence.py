"""Whether anything is meant at all: what decides it is one mask's score, and a wrong one near 1 has to hurt.

Squared error hardly does: it is a mean over all masks, and the slope of a sigmoid near 1 is nearly 0.
"""

import torch.nn.functional as F
from torch import Tensor

from ml.objectives.bce_dice import masked_mean

RELEVANT = 0.5  # something is meant where the highest target is at least this


def presence_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Mean binary cross-entropy of one mask a query, a scalar: of the most relevant, or of the surest where none is.

    Relevance logits and targets `[..., N]`, targets in [0, 1]; valid bool `[..., N]`. Queries without any count not.
    """
    highest, meant = targets.masked_fill(~valid, -1).max(-1, keepdim=True)
    surest = logits.masked_fill(~valid, float("-inf")).argmax(-1, keepdim=True)
    chosen = meant.where(highest >= RELEVANT, surest)
    losses = F.binary_cross_entropy_with_logits(logits.gather(-1, chosen), targets.gather(-1, chosen), reduction="none")
    return masked_mean(losses.squeeze(-1), valid.any(-1))
