"""What validation reports, as (sum, count) pairs: they add up over batches and processes, means do not."""

import torch
from torch import Tensor

from ml.training.data.batches import Batch
from ml.training.data.targets import meant

Measures = dict[str, tuple[Tensor, Tensor]]
THRESHOLD = 0.5


@torch.no_grad()
def alignment(regions: Tensor, masks: Tensor, positives: Tensor) -> Measures:
    """Retrieval: the share of regions `[n, e]` whose nearest mask embedding `[n, e]` is its own or a like one."""
    nearest = (regions @ masks.T).argmax(1)
    right = positives[torch.arange(len(regions), device=regions.device), nearest]
    return {"alignment_accuracy": _counted(right)}


@torch.no_grad()
def grounding(logits: Tensor, targets: Tensor, asked: Tensor) -> Measures:
    """IoU of thresholded maps `[B, Q, 4h, 4w]`, averaged over the queries that are there (bool `[B, Q]`).

    An empty map of what is absent is right.
    """
    found, wanted = logits > 0, targets > THRESHOLD
    either = (found | wanted).sum((-2, -1))
    iou = torch.where(either > 0, (found & wanted).sum((-2, -1)) / either.clamp_min(1), 1.0)
    return {"grounding_iou": _counted(iou[asked])}


@torch.no_grad()
def relevance(scores: Tensor, batch: Batch, asked: Tensor) -> Measures:
    """Binary agreement of scores `[B, Q, N]` over valid pairs, and whether the best mask is one that is meant.

    Where none is meant, none may be above the threshold.
    """
    agree = (scores > THRESHOLD) == (batch.relevance > THRESHOLD)
    highest, best = scores.masked_fill(~batch.valid.unsqueeze(1), -1).max(-1)
    right = meant(batch).gather(-1, best.unsqueeze(-1)).squeeze(-1) > 0
    right = torch.where(batch.targets < 0, highest <= THRESHOLD, right)
    return {
        "relevance_accuracy": _counted(agree[batch.valid.unsqueeze(1) & asked.unsqueeze(2)]),
        "top1": _counted(right[asked]),
    }


@torch.no_grad()
def anchors(logits: Tensor, targets: Tensor, asked: Tensor) -> Measures:
    """The share of queries whose anchor is found: logits `[B, Q, 1 + N]`, targets `[B, Q]` with -1 for none."""
    return {"anchor_accuracy": _counted((logits.argmax(-1) == targets + 1)[asked])}


@torch.no_grad()
def answers(logits: Tensor, targets: Tensor, pad_id: int) -> Measures:
    """The share of answers `[M, L]` of which every token is predicted right, given those before it."""
    there = targets != pad_id
    right = ((logits.argmax(-1) == targets) | ~there).all(1)
    return {"answer_accuracy": _counted(right[there.any(1)])}


def _counted(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.double().sum(), torch.tensor(float(values.numel()), dtype=torch.double, device=values.device)
