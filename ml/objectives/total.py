"""The multimodal loss: a weighted sum over the tasks that a batch has."""

from collections.abc import Mapping

import torch
from torch import Tensor


def total_loss(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum of weight x loss over the tasks present, and each term before weighting, detached, for the record.

    Args:
        losses: task -> scalar.
        weights: task -> weight; every task present must have one.

    Raises:
        KeyError: a task without a weight.
        ValueError: no task at all.
    """
    if not losses:
        raise ValueError("total_loss: found no task, wanted at least one")
    total = torch.stack([weights[task] * loss for task, loss in losses.items()]).sum()
    return total, {task: loss.detach() for task, loss in losses.items()}
