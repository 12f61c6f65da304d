"""Counting: the soft number of regions against the number that the answer says."""

import torch.nn.functional as F
from torch import Tensor

from ml.objectives.bce_dice import masked_mean


def counting_loss(counts: Tensor, numbers: Tensor) -> Tensor:
    """Mean Huber loss (one at one region off), a scalar: counts and numbers `[B, Q]`; -1: the answer is no number."""
    wanted = numbers.to(counts.dtype)
    return 2 * masked_mean(F.smooth_l1_loss(counts, wanted, reduction="none"), numbers >= 0)
