import math

import pytest
import torch

from ml.objectives.bce_dice import bce_dice_loss, bce_loss, dice_loss, masked_mean


def maps() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5)


def test_by_loops() -> None:
    logits, targets = maps()
    bce = dice = 0.0
    for b in range(2):
        for q in range(3):
            p = logits[b, q].sigmoid().flatten().tolist()
            t = targets[b, q].flatten().tolist()
            cells = list(zip(p, t, strict=True))
            bce -= sum(y * math.log(x) + (1 - y) * math.log(1 - x) for x, y in cells) / 20
            dice += 1 - (2 * sum(x * y for x, y in cells) + 1) / (sum(p) + sum(t) + 1)
    assert bce_loss(logits, targets).item() == pytest.approx(bce / 6, rel=1e-5)
    assert dice_loss(logits, targets).item() == pytest.approx(dice / 6, rel=1e-5)


def test_golden() -> None:
    assert bce_dice_loss(*maps()).item() == pytest.approx(1.307076, rel=1e-5)


def test_weights() -> None:
    logits, targets = maps()
    both = bce_dice_loss(logits, targets, bce_weight=2.0, dice_weight=3.0)
    torch.testing.assert_close(both, 2 * bce_loss(logits, targets) + 3 * dice_loss(logits, targets))


def test_padded_queries_count_for_nothing() -> None:
    logits, targets = maps()
    valid = torch.tensor([[True, True, False], [True, False, False]])
    kept = bce_dice_loss(logits[valid], targets[valid])
    logits[~valid] = 1e4
    torch.testing.assert_close(bce_dice_loss(logits, targets, valid), kept)


def test_nothing_valid_is_zero_with_a_gradient() -> None:
    logits, targets = maps()
    logits.requires_grad_()
    loss = bce_dice_loss(logits, targets, torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


def test_a_perfect_map_costs_nothing() -> None:
    targets = (torch.rand(1, 1, 8, 8) > 0.5).float()
    assert bce_dice_loss((targets * 2 - 1) * 50, targets).item() == pytest.approx(0, abs=1e-6)


def test_masked_mean_broadcasts() -> None:
    values = torch.tensor([[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]])
    assert masked_mean(values, torch.tensor([True, False, True])).item() == pytest.approx((1 + 6 + 3 + 8) / 4)
