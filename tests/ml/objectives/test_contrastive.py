import math

import pytest
import torch
import torch.nn.functional as F

from ml.objectives.contrastive import contrastive_loss, same_target


def pairs(n: int = 5, e: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return F.normalize(torch.randn(n, e), dim=-1), F.normalize(torch.randn(n, e), dim=-1)


def test_by_loops() -> None:
    regions, masks = pairs()
    total = 0.0
    for i in range(5):
        across = [math.exp(float(regions[i] @ masks[j]) / 0.07) for j in range(5)]
        down = [math.exp(float(regions[j] @ masks[i]) / 0.07) for j in range(5)]
        total -= math.log(across[i] / sum(across)) + math.log(down[i] / sum(down))
    assert contrastive_loss(regions, masks).item() == pytest.approx(total / 10, rel=1e-4)


def test_golden() -> None:
    assert contrastive_loss(*pairs()).item() == pytest.approx(12.502821, rel=1e-5)


def test_the_two_sides_are_alike() -> None:
    regions, masks = pairs()
    torch.testing.assert_close(contrastive_loss(regions, masks), contrastive_loss(masks, regions))


def test_the_same_thing_twice_is_no_false_negative() -> None:
    _, masks = pairs()
    masks = torch.cat([masks, masks[:1]])
    positives = same_target(masks)
    assert positives.sum() == 6 + 2 and positives[0, 5] and positives[5, 0]
    alone, shared = contrastive_loss(masks, masks, 100.0), contrastive_loss(masks, masks, 100.0, positives)
    entropy = 2 / 6 * math.log(2)  # two of six rows share their target with a twin
    assert alone.item() == pytest.approx(entropy, abs=1e-3) and shared.item() == pytest.approx(entropy, abs=1e-3)
    regions = masks.clone().requires_grad_()
    contrastive_loss(regions, masks, 100.0, positives).backward()
    assert regions.grad is not None and regions.grad.abs().max() < 1e-2  # nothing pushes the twins apart


def test_gradients_pull_a_region_to_its_mask() -> None:
    regions, masks = pairs()
    regions.requires_grad_()
    contrastive_loss(regions, masks).backward()
    assert regions.grad is not None
    assert ((-regions.grad * masks).sum(-1) > 0).all()
