"""Measures against their definitions in plain loops."""

from types import SimpleNamespace

import pytest
import torch

from ml.training import measures


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def mean(pair: tuple[torch.Tensor, torch.Tensor]) -> float:
    return float(pair[0] / pair[1])


def test_grounding_iou(generator: torch.Generator) -> None:
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    targets = torch.rand(2, 3, 8, 8, generator=generator)
    asked = torch.tensor([[True, True, False], [True, False, True]])
    wanted = []
    for b, q in asked.nonzero().tolist():
        found, truth = logits[b, q].sigmoid() > 0.5, targets[b, q] > 0.5
        wanted.append(float((found & truth).sum() / (found | truth).sum()))
    total, count = measures.grounding(logits, targets, asked)["grounding_iou"]
    assert int(count) == 4
    assert float(total) == pytest.approx(sum(wanted))


def test_an_empty_map_of_what_is_absent_is_right() -> None:
    logits, targets = torch.full((1, 3, 4, 4), -1.0), torch.zeros(1, 3, 4, 4)
    logits[0, 1, 0, 0] = 1.0  # something where nothing is
    targets[0, 2, 0, 0] = 1.0  # nothing where something is
    total, count = measures.grounding(logits, targets, torch.ones(1, 3, dtype=torch.bool))["grounding_iou"]
    assert (float(total), int(count)) == (1.0, 3)


def test_of_what_is_absent_no_mask_may_be_relevant() -> None:
    scores = torch.tensor([[[0.4, 0.5, 0.9], [0.4, 0.6, 0.1], [0.2, 0.4, 0.9], [0.4, 0.2, 0.9]]])
    batch = SimpleNamespace(
        relevance=torch.zeros(1, 4, 3),
        valid=torch.tensor([[True, True, False]]),  # the last mask is none
        targets=torch.tensor([[-1, -1, 1, 1]]),
    )
    found = measures.relevance(scores, batch, torch.ones(1, 4, dtype=torch.bool))
    assert mean(found["top1"]) == 2 / 4  # the first; and the third, which is there, however low its score


def test_relevance_counts_valid_pairs_only(generator: torch.Generator) -> None:
    scores, relevance = torch.rand(2, 2, 2, 4, generator=generator)
    valid = torch.tensor([[True, True, False, True], [True, False, False, True]])
    asked = torch.tensor([[True, True], [True, False]])
    batch = SimpleNamespace(relevance=relevance, valid=valid, targets=torch.tensor([[0, 3], [0, 0]]))
    agree, hits = [], []
    for b, q in asked.nonzero().tolist():
        there = [n for n in range(4) if valid[b, n]]
        agree += [bool((scores[b, q, n] > 0.5) == (relevance[b, q, n] > 0.5)) for n in there]
        best = max(there, key=lambda n: float(scores[b, q, n]))
        hits.append(best == int(batch.targets[b, q]) or float(relevance[b, q, best]) >= 0.5)
    found = measures.relevance(scores, batch, asked)
    assert mean(found["relevance_accuracy"]) == pytest.approx(sum(agree) / len(agree))
    assert mean(found["top1"]) == pytest.approx(sum(hits) / len(hits))


def test_anchors_are_found_or_known_to_be_none() -> None:
    logits = torch.tensor([[[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 2.0, 1.0], [9.0, 0.0, 0.0]]])
    targets, asked = torch.tensor([[-1, 1, 1, 0]]), torch.tensor([[True, True, True, False]])
    assert mean(measures.anchors(logits, targets, asked)["anchor_accuracy"]) == pytest.approx(2 / 3)


def test_alignment_accepts_any_like_mask() -> None:
    masks = torch.eye(3)[[0, 1, 1]]
    regions = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [1.0, 0, 0]])
    positives = masks @ masks.T > 0.9
    assert mean(measures.alignment(regions, masks, positives)["alignment_accuracy"]) == pytest.approx(2 / 3)


def test_answers_must_be_right_to_the_last_token() -> None:
    targets = torch.tensor([[5, 6, 0], [5, 6, 7], [0, 0, 0]])
    predicted = torch.tensor([[5, 6, 9], [5, 6, 8], [1, 1, 1]])
    logits = torch.nn.functional.one_hot(predicted, 10).float()
    total, count = measures.answers(logits, targets, pad_id=0)["answer_accuracy"]
    assert (float(total), float(count)) == (1.0, 2.0)
