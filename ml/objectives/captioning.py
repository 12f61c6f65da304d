"""Grounded captioning: the words, and the caption grounded back to the region it describes."""

import torch.nn.functional as F
from torch import Tensor

from ml.objectives.bce_dice import bce_loss


def token_loss(logits: Tensor, targets: Tensor, pad_id: int) -> Tensor:
    """Mean cross-entropy over the tokens that are not padding (0 if all are): logits `[M, L, V]`, ids `[M, L]`."""
    total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad_id, reduction="sum")
    return total / (targets != pad_id).sum().clamp_min(1)


def captioning_loss(
    logits: Tensor,
    targets: Tensor,
    pad_id: int,
    grounding: Tensor,
    masks: Tensor,
    valid: Tensor | None = None,
) -> Tensor:
    """Token loss plus grounding consistency, a scalar.

    logits `[M, L, V]`, targets int `[M, L]`, grounding logits of the captions and soft masks `[..., h, w]`, valid
    bool `[...]`.
    """
    return token_loss(logits, targets, pad_id) + bce_loss(grounding, masks, valid)
