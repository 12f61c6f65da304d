"""The loss of a count: Huber's, of answers that are numbers alone."""

import pytest
import torch

from ml.objectives.counting import counting_loss


def test_one_off_is_one_and_more_grows_in_a_line() -> None:
    numbers = torch.tensor([[3]])
    for off, wanted in ((0.0, 0.0), (0.5, 0.25), (1.0, 1.0), (-2.0, 3.0)):
        assert counting_loss(torch.tensor([[3 + off]]), numbers).item() == pytest.approx(wanted)


def test_answers_that_are_no_number_are_left_out() -> None:
    counts = torch.tensor([[3.0, 9.0], [1.0, 2.0]])
    assert counting_loss(counts, torch.tensor([[4, -1], [-1, 2]])).item() == pytest.approx(0.5)
    assert counting_loss(counts, torch.full((2, 2), -1)).item() == 0
