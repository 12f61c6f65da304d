"""Counting: regions that are what is named and one thing each add up, whatever else is there."""

import torch

from ml.models.counting import MOST, Counter

DIM, SURE = 16, 30.0


def counter() -> Counter:
    torch.manual_seed(0)
    found = Counter(DIM)
    torch.nn.init.zeros_(found.one[-1].weight)
    torch.nn.init.constant_(found.one[-1].bias, SURE)  # every region is one thing
    return found


def test_it_adds_up_what_is_named() -> None:
    similar = torch.full((1, 2, 6), -SURE)
    similar[0, 0, [0, 2, 5]], similar[0, 1, 4] = SURE, SURE
    found = counter()(torch.randn(1, 6, DIM), similar, torch.ones(1, 6, dtype=torch.bool))
    torch.testing.assert_close(found.counts, torch.tensor([[3.0, 1.0]]))


def test_padding_and_what_is_not_one_thing_do_not_count() -> None:
    valid = torch.tensor([[True, True, False, False]])
    found = counter()
    assert found(torch.randn(1, 4, DIM), torch.full((1, 1, 4), SURE), valid).counts.item() == 2
    torch.nn.init.constant_(found.one[-1].bias, -SURE)
    assert found(torch.randn(1, 4, DIM), torch.full((1, 1, 4), SURE), valid).counts.item() < 1e-6


def test_each_number_is_a_token_of_its_own_and_between_two_it_is_between() -> None:
    found = counter()

    def told(count: float) -> torch.Tensor:
        likely = torch.logit(torch.tensor(count / MOST)).expand(1, 1, MOST)
        return found(torch.zeros(1, MOST, DIM), likely, torch.ones(1, MOST, dtype=torch.bool)).tokens[0, 0]

    torch.testing.assert_close(told(2.5), (told(2.0) + told(3.0)) / 2)
    assert (told(2.0) - told(3.0)).norm() > 0.1


def test_gradients_reach_the_gate() -> None:
    found = counter()
    torch.nn.init.zeros_(found.one[-1].bias)
    found(torch.randn(1, 4, DIM), torch.zeros(1, 1, 4), torch.ones(1, 4, dtype=torch.bool)).counts.sum().backward()
    assert found.one[-1].bias.grad is not None and found.one[-1].bias.grad.abs() > 0
