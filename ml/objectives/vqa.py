"""Grounded question answering: the answer's tokens, and the evidence it points to."""

from torch import Tensor

from ml.objectives.bce_dice import bce_loss
from ml.objectives.captioning import token_loss


def vqa_loss(
    logits: Tensor,
    answers: Tensor,
    pad_id: int,
    evidence: Tensor,
    masks: Tensor,
    has_evidence: Tensor,
    evidence_weight: float = 0.5,
) -> Tensor:
    """Answer cross-entropy plus weighted evidence loss, a scalar.

    logits `[M, L, V]`, answers int `[M, L]`, evidence logits (grounding of the question) and soft masks
    `[..., h, w]`, has_evidence bool `[...]`: questions without evidence are left out of the second term.
    """
    return token_loss(logits, answers, pad_id) + evidence_weight * bce_loss(evidence, masks, has_evidence)
