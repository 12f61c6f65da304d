from itertools import pairwise

import pytest
import torch

from ml.training.engine.schedule import Schedule


def schedule(kind: str = "cosine", steps: int = 100) -> Schedule:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=9.0)
    return Schedule(optimizer, lr=1.0, steps=steps, warmup_fraction=0.1, kind=kind)


def test_warms_up_then_falls_to_zero() -> None:
    rates = [schedule().rate(step) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)
    assert all(before >= after for before, after in pairwise(rates[10:]))


def test_sets_the_optimizers_rate() -> None:
    made = schedule()
    assert made.optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
    made.step()
    assert made.optimizer.param_groups[0]["lr"] == pytest.approx(0.2) == made.get_last_lr()[0]


def test_plateau_halves_after_two_validations_without_gain() -> None:
    made = schedule("plateau")
    for _ in range(20):
        made.step()
    rates = []
    for value in (0.5, 0.6, 0.6, 0.55, 0.7, 0.1, 0.1):
        made.observe(value)
        rates.append(made.get_last_lr()[0])
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


def test_cosine_does_not_care_for_plateaus() -> None:
    made = schedule()
    for _ in range(5):
        made.observe(0.1)
    assert made.rate(55) == pytest.approx(0.5)


def test_goes_on_from_its_state() -> None:
    first, second = schedule("plateau"), schedule("plateau")
    for value in (0.3, 0.2, 0.1):
        first.step()
        first.observe(value)
    second.load_state_dict(first.state_dict())
    for value in (0.1, 0.05, 0.2):
        for made in (first, second):
            made.step()
            made.observe(value)
        assert first.get_last_lr() == second.get_last_lr()


def test_no_warm_up() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=9.0)
    assert Schedule(optimizer, lr=2.0, steps=4, warmup_fraction=0.0, kind="cosine").rate(0) == 2.0
