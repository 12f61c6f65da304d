import pytest
import torch

from ml.objectives.relevance import DIFFERENT, mse_loss, ranking_loss, relevance_loss


def scored() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    targets = torch.tensor([[1.0, 0.0, 0.5, 0.5, 0.52], [0.0, 0.2, 0.2, 1.0, 0.9]])
    return torch.rand(2, 5), targets, torch.tensor([[True] * 5, [True, True, False, True, False]])


def test_by_loops() -> None:
    scores, targets, valid = scored()
    errors, hinges = [], []
    for q in range(2):
        for i in range(5):
            if valid[q, i]:
                errors.append(float((scores[q, i] - targets[q, i]) ** 2))
            for j in range(5):
                if valid[q, i] and valid[q, j] and targets[q, i] - targets[q, j] > DIFFERENT:
                    hinges.append(max(0.0, 0.1 - float(scores[q, i] - scores[q, j])))
    mse, ranking = sum(errors) / len(errors), sum(hinges) / len(hinges)
    assert mse_loss(scores, targets, valid).item() == pytest.approx(mse)
    assert ranking_loss(scores, targets, valid).item() == pytest.approx(ranking)
    assert relevance_loss(scores, targets, valid).item() == pytest.approx(mse + 0.5 * ranking)


def test_golden() -> None:
    assert relevance_loss(*scored()).item() == pytest.approx(0.402332, rel=1e-5)


def test_invalid_masks_count_for_nothing() -> None:
    scores, targets, valid = scored()
    before = relevance_loss(scores, targets, valid)
    scores[~valid], targets[~valid] = 7.0, -7.0
    torch.testing.assert_close(relevance_loss(scores, targets, valid), before)


def test_the_right_order_with_margin_costs_nothing() -> None:
    scores = torch.tensor([[0.9, 0.2, 0.5]])
    valid = torch.ones(1, 3, dtype=torch.bool)
    assert ranking_loss(scores, torch.tensor([[1.0, 0.0, 0.5]]), valid).item() == 0
    assert ranking_loss(scores, torch.tensor([[0.0, 1.0, 0.5]]), valid).item() > 0.3


def test_equal_targets_have_no_order() -> None:
    scores = torch.tensor([[0.9, 0.2, 0.5]], requires_grad=True)
    loss = ranking_loss(scores, torch.full((1, 3), 0.4), torch.ones(1, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and scores.grad is not None and not scores.grad.any()
