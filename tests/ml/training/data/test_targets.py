"""What is to be said of a batch's queries, against its regions."""

from collections.abc import Callable

import numpy as np
import torch

from ml.training.data.batches import Examples
from ml.training.data.samples import TrainingData
from ml.training.data.targets import grounding_targets, marked, meant, painted, pointing_targets
from ml.workspace import Workspace
from ml.workspace.settings import load

SIDE = 64
Make = Callable[..., Workspace]


def examples(ws: Workspace, train: bool = True, **changes: float) -> Examples:
    params = load(ws.params_file).training.model_copy(update=changes)
    return Examples(TrainingData(ws), params, SIDE, 0, train)


def test_nothing_is_meant_by_what_is_absent(workspace: Make) -> None:
    made = examples(workspace(), absent=1.0)
    batch = made[[(0, index) for index in range(6)]]
    there = torch.tensor([[bool(text) for text in row] for row in batch.queries])
    assert there.any(1).all() and (batch.targets == -1).all()
    assert not meant(batch).any() and not batch.relevance.any() and not grounding_targets(batch).any()
    leaning = torch.tensor([[text.startswith("the yellow") for text in row] for row in batch.queries])
    assert leaning.any() and torch.equal(batch.anchors >= 0, leaning)
    assert torch.equal(pointing_targets(batch)[:, :, 0].flatten(2).any(2), leaning)


def test_all_that_is_relevant_is_meant(workspace: Make) -> None:
    batch = examples(workspace(), train=False)[[(0, 0)]]
    batch.relevance = torch.zeros_like(batch.relevance)
    target, other = int(batch.targets[0, 0]), int(batch.targets[0, 0] == 0)
    batch.relevance[0, 0, other] = 0.5
    found = meant(batch)
    assert found[0, 0].nonzero().flatten().tolist() == sorted([target, other])
    assert found[0, 1].nonzero().flatten().tolist() == [int(batch.targets[0, 1])]  # however low its relevance


def test_painted_is_the_maximum_over_masks() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, fine = torch.rand(2, 3, 5, generator=generator), torch.rand(2, 5, 4, 4, generator=generator)
    wanted = (weights[..., None, None] * fine[:, None]).amax(2)
    assert torch.allclose(painted(weights, fine), wanted)


def test_grounding_targets(workspace: Make) -> None:
    made = examples(workspace(), train=False)
    batch = made[[(0, 0)]]
    batch.relevance = torch.zeros_like(batch.relevance)
    batch.relevance[0, 0, 0], batch.relevance[0, 0, 1] = 0.9, 0.4
    targets = grounding_targets(batch)
    assert torch.allclose(targets[0, 0], 0.9 * batch.fine[0, 0])  # 0.4 is not relevant enough
    meant = int(batch.targets[0, 1])
    assert torch.allclose(targets[0, 1], batch.fine[0, meant])  # nothing is: the region it was made for


def test_pointing_targets_are_the_anchor_and_all_of_the_name(workspace: Make) -> None:
    made = examples(workspace(), train=False, queries_per_image=100)
    batch = made[[(0, 0), (0, 1)]]
    anchor, name = pointing_targets(batch).unbind(2)
    assert anchor.shape == name.shape == (*batch.targets.shape, *batch.coverage.shape[2:])
    for b, q in np.ndindex(*batch.targets.shape):
        n = int(batch.anchors[b, q])
        wanted = batch.coverage[b, n] if n >= 0 else torch.zeros_like(batch.coverage[b, 0])
        assert torch.equal(anchor[b, q], wanted)
        named = batch.coverage[b][batch.named[b, q] > 0]
        assert torch.equal(name[b, q], named.amax(0) if len(named) else torch.zeros_like(name[b, q]))
    assert anchor.any() and not anchor.flatten(2).any(2).all()


def test_marked_is_one_region_or_none(workspace: Make) -> None:
    batch = examples(workspace(), train=False)[[(0, 0)]]
    found = marked(torch.tensor([[2, -1, 0]]), batch)
    assert found.shape == (1, 3, batch.valid.shape[1]) and found.sum((0, 2)).tolist() == [1, 0, 1]
    assert found[0, 0, 2] == found[0, 2, 0] == 1
