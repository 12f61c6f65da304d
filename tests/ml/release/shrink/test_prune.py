"""Pruning zeroes the least weights, and only those."""

import pytest
import torch
from torch import nn

from ml.release.shrink.prune import prune, sparsity_of


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(32, 16), nn.LayerNorm(16))


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5])
def test_the_asked_share_is_zero_and_the_original_untouched(structured, sparsity):
    before = model()
    pruned = prune(before, sparsity, structured)
    assert sparsity_of(pruned) == pytest.approx(sparsity, abs=0.01)
    assert sparsity_of(before) == 0
    assert pruned.state_dict().keys() == before.state_dict().keys()


def test_unstructured_pruning_takes_the_least_magnitudes_of_all_layers():
    before, pruned = model(), prune(model(), 0.3, structured=False)
    pairs = [(before[i].weight, pruned[i].weight) for i in (0, 2)]
    gone = torch.cat([old[new == 0].abs() for old, new in pairs])
    kept = torch.cat([old[new != 0].abs() for old, new in pairs])
    assert gone.max() <= kept.min()


def test_structured_pruning_takes_whole_channels():
    weight = prune(model(), 0.5, structured=True)[2].weight
    empty = (weight == 0).all(dim=1)
    assert int(empty.sum()) == 8
    assert (weight[~empty] != 0).all()
