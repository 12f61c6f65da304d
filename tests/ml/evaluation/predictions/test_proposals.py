"""Proposals against segment_anything's own automatic mask generator."""

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor

from ml.evaluation.predictions.proposals import RESIZED, _distinct, _resized, _to_image, prompts, propose
from ml.masks import Frame, Masks
from ml.models.frozen.sam import Sam
from ml.params import Params
from ml.sa1b.reading.padding import to_frame

SIZES = [(96, 128), (128, 64), (200, 300)]


def smooth_image(size: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([128 + 100 * np.sin(x / 17 + c) * np.cos(y / 23) for c in range(3)], -1).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_masks_are_those_of_the_library(sam: Sam, params: Params, size: tuple[int, int]) -> None:
    """Without any threshold every mask of every point is kept: both must hold the same set."""
    all_of_them = {
        "predicted_iou": -1e9,
        "stability_score": 0.0,
        "duplicate_iou": 1.0,
        "max_proposals": 1000,
        "edges": None,
    }
    evaluation = params.evaluation.model_copy(update={**all_of_them, "points_per_side": 3})
    image = smooth_image(size)
    predictor = SamPredictor(sam.model)
    predictor.set_image(image)
    ours = propose(sam, predictor.features, image, evaluation)
    library = SamAutomaticMaskGenerator(
        sam.model, points_per_side=3, pred_iou_thresh=-1e9, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    theirs = [mask for mask in library.generate(image) if mask["area"]]
    dense = np.array([ours.masks.dense(i) for i in range(len(ours.masks))])
    assert len(theirs) >= len(dense) > 10  # only exact repetitions are missing
    for mask in theirs:
        iou = (dense & mask["segmentation"]).sum((1, 2)) / (dense | mask["segmentation"]).sum((1, 2))
        best = int(iou.argmax())
        assert iou[best] > 0.99
        assert ours.predicted_ious.max() >= mask["predicted_iou"] - 1e-4


def test_thresholds_limit_and_order_hold(sam: Sam, params: Params) -> None:
    evaluation = params.evaluation.model_copy(update={"predicted_iou": -1e9, "max_proposals": 5, "duplicate_iou": 0.7})
    image = smooth_image((96, 128))
    features = sam.encode(torch.from_numpy(to_frame(image, sam.image_size))[None])
    found = propose(sam, features, image, evaluation)
    assert 1 <= len(found.masks) <= 5 and len(found.predicted_ious) == len(found.stability_scores) == len(found.masks)
    assert (np.diff(found.predicted_ious) <= 0).all()
    strict = evaluation.model_copy(update={"predicted_iou": 1e9})
    assert len(propose(sam, features, image, strict).masks) == 0


def test_few_points_go_where_the_image_differs() -> None:
    """One small odd spot on plain ground: a coarse choice finds it, and the rest spreads out."""
    features = torch.zeros(1, 8, 16, 16)
    features[:, 0] = 1
    features[0, :2, 5, 11] = torch.tensor([0.0, 1.0])
    points = prompts(features, (256, 256), 256, 16, 20)
    assert points.shape == (20, 2) and [184.0, 88.0] in points.tolist()
    quadrants = {(x > 128, y > 128) for x, y in points.tolist()}
    assert len(quadrants) == 4 and len({tuple(point) for point in points.tolist()}) == 20
    assert torch.equal(prompts(features, (256, 256), 256, 16, 20), points)
    assert len(prompts(features, (192, 256), 256, 4, 16)) == 16
    assert prompts(features, (192, 256), 256, 4, 16).max(0).values.tolist() == [224.0, 168.0]


def test_near_duplicates_are_dropped_in_order() -> None:
    masks = torch.zeros(4, 10, 10, dtype=torch.bool)
    masks[0, :5] = True
    masks[1, :5, :9] = True  # IoU 0.9 with the first
    masks[2, 5:] = True
    assert _distinct(masks, 0.8, 10) == [0, 2]  # the last one is empty
    assert _distinct(masks, 0.95, 10) == [0, 1, 2]
    assert _distinct(masks, 0.95, 2) == [0, 1]


@pytest.mark.parametrize("size", SIZES)
def test_masks_resized_a_few_at_a_time_are_the_same(size: tuple[int, int]) -> None:
    logits = torch.randn(2 * RESIZED + 3, 32, 32, generator=torch.Generator().manual_seed(3))
    frame = Frame(None, False, 128).resized(size)
    whole = Masks.from_dense(_resized(logits, frame, size, 128))
    assert _to_image(logits, frame, size, 128).to_strings() == whole.to_strings() and whole.areas().all()
