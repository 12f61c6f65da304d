import pytest
import torch

from ml.objectives.bce_dice import bce_loss
from ml.objectives.captioning import token_loss
from ml.objectives.vqa import vqa_loss

PAD = 0


def asked() -> tuple[torch.Tensor, torch.Tensor, int, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    answers = torch.tensor([[3, 2, PAD], [4, 5, 2], [1, 2, PAD], [5, 2, PAD]])
    return torch.randn(4, 3, 6), answers, PAD, torch.randn(2, 2, 4, 4), torch.rand(2, 2, 4, 4)


def test_answer_and_half_the_evidence() -> None:
    logits, answers, pad, evidence, masks = asked()
    pointing = torch.tensor([[True, False], [True, True]])
    expected = token_loss(logits, answers, pad) + 0.5 * bce_loss(evidence[pointing], masks[pointing])
    torch.testing.assert_close(vqa_loss(logits, answers, pad, evidence, masks, pointing), expected)


def test_golden() -> None:
    assert vqa_loss(*asked(), torch.ones(2, 2, dtype=torch.bool)).item() == pytest.approx(2.389795, rel=1e-5)


def test_without_evidence_the_answer_alone_counts() -> None:
    logits, answers, pad, evidence, masks = asked()
    nowhere = torch.zeros(2, 2, dtype=torch.bool)
    torch.testing.assert_close(
        vqa_loss(logits, answers, pad, evidence, masks, nowhere), token_loss(logits, answers, pad)
    )
