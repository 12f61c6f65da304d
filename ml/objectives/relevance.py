"""Relevance learning: squared error of the scores, and a hinge on the order of each pair of masks."""

import torch.nn.functional as F
from torch import Tensor

from ml.objectives.bce_dice import masked_mean

DIFFERENT = 0.1  # targets closer than this have no order worth learning


def mse_loss(scores: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error over valid masks, a scalar: scores and targets `[..., N]` in [0, 1], valid bool `[..., N]`."""
    return masked_mean((scores - targets).square(), valid)


def ranking_loss(scores: Tensor, targets: Tensor, valid: Tensor, margin: float = 0.1) -> Tensor:
    """Mean hinge `max(0, margin - (s_i - s_j))` over the valid pairs whose targets say that i outranks j; a scalar."""
    gap = scores.unsqueeze(-1) - scores.unsqueeze(-2)
    ordered = (targets.unsqueeze(-1) - targets.unsqueeze(-2)) > DIFFERENT
    pairs = ordered & valid.unsqueeze(-1) & valid.unsqueeze(-2)
    return masked_mean(F.relu(margin - gap), pairs)


def relevance_loss(
    scores: Tensor,
    targets: Tensor,
    valid: Tensor,
    mse_weight: float = 1.0,
    ranking_weight: float = 0.5,
    margin: float = 0.1,
) -> Tensor:
    """Weighted sum of the two, a scalar."""
    mse, ranking = mse_loss(scores, targets, valid), ranking_loss(scores, targets, valid, margin)
    return mse_weight * mse + ranking_weight * ranking
