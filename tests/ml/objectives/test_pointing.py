import pytest
import torch

from ml.objectives.pointing import anchor_loss, name_loss


def test_by_loops() -> None:
    torch.manual_seed(0)
    logits, anchors = torch.randn(2, 3, 5), torch.tensor([[-1, 3, 0], [2, -1, 1]])
    asked = torch.tensor([[True, True, False], [True, False, True]])
    losses = [-logits[b, q].log_softmax(0)[anchors[b, q] + 1] for b, q in asked.nonzero().tolist()]
    assert anchor_loss(logits, anchors, asked).item() == pytest.approx(float(sum(losses)) / 4)


def test_nobody_asked() -> None:
    logits = torch.randn(1, 2, 3, requires_grad=True)
    loss = anchor_loss(logits, torch.full((1, 2), -1), torch.zeros(1, 2, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0


def test_names_by_loops() -> None:
    torch.manual_seed(0)
    logits, named = torch.randn(1, 2, 3), torch.tensor([[[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
    valid = torch.tensor([[[True, True, False], [True, False, True]]])
    losses = [-(p if t else 1 - p).log() for p, t in zip(logits[valid].sigmoid(), named[valid], strict=True)]
    assert name_loss(logits, named, valid).item() == pytest.approx(float(sum(losses)) / 4)
