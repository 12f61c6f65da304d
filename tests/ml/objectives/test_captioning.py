import pytest
import torch

from ml.objectives.bce_dice import bce_loss
from ml.objectives.captioning import captioning_loss, token_loss

PAD = 0


def told() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 4, 6), torch.tensor([[3, 5, 2, PAD], [4, 2, PAD, PAD]])


def test_by_loops() -> None:
    logits, targets = told()
    costs = [
        -float(logits[m, i].log_softmax(-1)[targets[m, i]]) for m in range(2) for i in range(4) if targets[m, i] != PAD
    ]
    assert len(costs) == 5
    assert token_loss(logits, targets, PAD).item() == pytest.approx(sum(costs) / 5, rel=1e-5)


def test_golden() -> None:
    assert token_loss(*told(), PAD).item() == pytest.approx(1.683081, rel=1e-5)


def test_padding_alone_is_zero_not_nan() -> None:
    logits, targets = told()
    logits.requires_grad_()
    loss = token_loss(logits, torch.full_like(targets, PAD), PAD)
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


def test_words_and_their_grounding_add_up() -> None:
    logits, targets = told()
    grounding, masks, valid = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.rand(2, 3) > 0.3
    both = captioning_loss(logits, targets, PAD, grounding, masks, valid)
    torch.testing.assert_close(both, token_loss(logits, targets, PAD) + bce_loss(grounding, masks, valid))
