import pytest
import torch

from ml.objectives.bce_dice import dice_loss
from ml.objectives.referring import referring_loss, soft_iou_loss


def maps() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5)


def test_by_loops() -> None:
    logits, targets = maps()
    total = 0.0
    for b in range(2):
        for q in range(3):
            p, t = logits[b, q].sigmoid().flatten().tolist(), targets[b, q].flatten().tolist()
            shared = sum(x * y for x, y in zip(p, t, strict=True))
            total += 1 - (shared + 1) / (sum(p) + sum(t) - shared + 1)
    assert soft_iou_loss(logits, targets).item() == pytest.approx(total / 6, rel=1e-5)
    torch.testing.assert_close(
        referring_loss(logits, targets), soft_iou_loss(logits, targets) + dice_loss(logits, targets)
    )


def test_golden() -> None:
    assert referring_loss(*maps()).item() == pytest.approx(1.120271, rel=1e-5)


def test_on_binary_maps_it_is_one_minus_iou() -> None:
    ours, theirs = torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20)
    ours[..., :10, :] = 1
    theirs[..., 5:15, :] = 1
    loss = soft_iou_loss((ours * 2 - 1) * 50, theirs)
    assert loss.item() == pytest.approx(1 - 101 / 301)  # with one cell of smoothing; the IoU is 100 / 300


def test_padded_expressions_count_for_nothing() -> None:
    logits, targets = maps()
    valid = torch.tensor([[True, True, False], [True, False, False]])
    kept = referring_loss(logits[valid], targets[valid])
    logits[~valid] = 50
    torch.testing.assert_close(referring_loss(logits, targets, valid), kept)
