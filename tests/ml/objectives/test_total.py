import pytest
import torch

from ml.objectives.total import total_loss

WEIGHTS = {"grounding": 1.0, "caption": 0.5, "vqa": 0.25}


def test_the_tasks_present_are_weighted_and_reported() -> None:
    losses = {"grounding": torch.tensor(2.0, requires_grad=True), "vqa": torch.tensor(4.0, requires_grad=True)}
    total, terms = total_loss(losses, WEIGHTS)
    total.backward()
    assert total.item() == 2.0 + 0.25 * 4.0
    assert {task: term.item() for task, term in terms.items()} == {"grounding": 2.0, "vqa": 4.0}
    assert not any(term.requires_grad for term in terms.values())
    assert {task: loss.grad.item() for task, loss in losses.items() if loss.grad is not None} == {
        "grounding": 1.0,
        "vqa": 0.25,
    }


def test_a_task_without_a_weight_is_refused() -> None:
    with pytest.raises(KeyError, match="ref_exp"):
        total_loss({"ref_exp": torch.tensor(1.0)}, WEIGHTS)


def test_no_task_is_refused() -> None:
    with pytest.raises(ValueError, match="found no task"):
        total_loss({}, WEIGHTS)
