import pytest
import torch

from ml.toytown.pretraining.data import LOW
from ml.toytown.pretraining.sam import decode, initial_sam, mask_losses, pool, warmup_cosine, whiten


@pytest.fixture(scope="module")
def sam() -> torch.nn.Module:
    torch.manual_seed(0)
    return initial_sam().eval()


@torch.no_grad()
def test_decoding_many_images_is_decoding_each(sam) -> None:  # type: ignore[no-untyped-def]
    features, points = torch.randn(2, 96, 16, 16), torch.rand(2, 3, 2) * 256
    masks, ious = decode(sam, features, points)
    for i in range(2):
        prompts = points[i][:, None], torch.ones(3, 1)
        sparse, dense = sam.prompt_encoder(points=prompts, boxes=None, masks=None)
        position = sam.prompt_encoder.get_dense_pe()
        one, quality = sam.mask_decoder.predict_masks(features[i : i + 1], position, sparse, dense)
        # The decoder computes in bfloat16 while it is trained.
        torch.testing.assert_close(masks[3 * i : 3 * i + 3], one, atol=0.1, rtol=0.1)
        torch.testing.assert_close(ious[3 * i : 3 * i + 3], quality, atol=0.05, rtol=0.05)


def test_mask_loss_falls_to_zero_and_iou_rises_to_one() -> None:
    targets = torch.zeros(1, 4, LOW, LOW)
    targets[..., 10:30, 20:40] = 1
    good, true_iou = mask_losses((targets * 2 - 1) * 20, targets)
    assert good < 0.01 and (true_iou == 1).all()
    bad, no_iou = mask_losses((1 - targets * 2) * 20, targets)
    assert bad > 10 and (no_iou == 0).all()


def test_pooling_weighs_by_coverage() -> None:
    features = torch.arange(4.0).reshape(1, 2, 2)
    coverage = torch.tensor([[[1.0, 0.0], [0.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]]])
    assert pool(features, coverage)[:, 0].tolist() == pytest.approx([1.0, 0.0])


def test_whitened_patches_are_uncorrelated(sam) -> None:  # type: ignore[no-untyped-def]
    images = torch.randint(0, 256, (12, 3, 256, 256), dtype=torch.uint8)
    whiten(sam, images)
    pixels = (images.float() - sam.pixel_mean) / sam.pixel_std
    tokens = sam.image_encoder.patch_embed(pixels).flatten(0, 2).detach()
    covariance = torch.cov(tokens.T)
    diagonal = covariance.diagonal()
    assert (tokens.mean(0).abs() < 1e-3).all()
    assert (covariance - diagonal.diag()).abs().max() < 1e-3 and (diagonal > 0.2).all()


def test_the_rate_rises_and_falls() -> None:
    rates = [warmup_cosine(step, 100, 10) for step in range(100)]
    assert rates[9] == 1.0 and rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True) and rates[-1] < 0.01
