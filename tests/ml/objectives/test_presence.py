import math

import pytest
import torch

from ml.objectives.presence import presence_loss
from ml.objectives.relevance import mse_loss


def test_by_hand() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [3.0, 0.0, 9.0], [0.0, 0.0, 0.0]])
    targets = torch.tensor([[0.1, 0.8, 0.6], [0.0, 0.1, 0.9], [1.0, 1.0, 1.0]])
    valid = torch.tensor([[True, True, True], [True, True, False], [False, False, False]])

    def cross_entropy(logit: float, target: float) -> float:
        p = 1 / (1 + math.exp(-logit))
        return -target * math.log(p) - (1 - target) * math.log(1 - p)

    # Of the first query the most relevant counts, of the second, that means nothing, the surest; the third is padding.
    wanted = (cross_entropy(-1.0, 0.8) + cross_entropy(3.0, 0.0)) / 2
    assert presence_loss(logits, targets, valid).item() == pytest.approx(wanted)


def test_one_sure_mistake_hurts_among_many_masks() -> None:
    logits = torch.full((1, 100), -6.0)
    logits[0, 7] = 4.0
    targets, valid = torch.zeros(1, 100), torch.ones(1, 100, dtype=torch.bool)
    slopes = []
    for loss in (presence_loss, lambda x, t, v: mse_loss(torch.sigmoid(x), t, v)):
        given = logits.clone().requires_grad_()
        loss(given, targets, valid).backward()
        assert given.grad is not None
        slopes.append(float(given.grad[0, 7]))
    assert slopes[0] > 0.9 and slopes[1] < 0.001


def test_nothing_asked_costs_nothing() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = presence_loss(logits, torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()
