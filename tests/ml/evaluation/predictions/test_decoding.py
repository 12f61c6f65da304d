"""Masks of points judged first and drawn after, against segment_anything's own decoder: bit for bit."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from ml.evaluation.predictions import proposals
from ml.evaluation.predictions.decoding import POINTS_PER_BATCH, decode
from ml.evaluation.predictions.proposals import propose
from ml.models.frozen.sam import Sam, load_sam
from ml.params import Params
from ml.sa1b.reading.padding import to_frame
from ml.toytown.pretraining.pretrain import WEIGHTS
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene
from ml.workspace.settings import preset


def whole(sam: Sam, features: Tensor, points: Tensor, least: float) -> Iterator[tuple[Tensor, Tensor]]:
    """All masks of all points by the library's decoder, and then those that are trusted."""
    encoder = sam.model.prompt_encoder
    for batch in points.split(POINTS_PER_BATCH):
        labels = torch.ones(len(batch), 1, dtype=torch.int)
        sparse, dense = encoder(points=(batch[:, None], labels), boxes=None, masks=None)
        logits, ious = sam.model.mask_decoder(features, encoder.get_dense_pe(), sparse, dense, multimask_output=True)
        yield logits[ious > least], ious[ious > least]


@pytest.fixture
def features(sam: Sam) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 4, sam.image_size, sam.image_size), generator=generator, dtype=torch.uint8)
    image[:, 3] = 1
    return sam.encode(image)


@pytest.fixture
def points(sam: Sam) -> Tensor:
    return torch.rand(POINTS_PER_BATCH + 21, 2, generator=torch.Generator().manual_seed(1)) * sam.image_size


@torch.no_grad()
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95, 1.0])
def test_trusted_masks_are_those_of_the_library(sam: Sam, features: Tensor, points: Tensor, share: float) -> None:
    everything = torch.cat([ious for _, ious in whole(sam, features, points, -torch.inf)])
    least = -torch.inf if share == 0 else float(everything.quantile(share))
    ours, wanted = list(decode(sam, features, points, least)), list(whole(sam, features, points, least))
    assert len(ours) == len(wanted) == 2
    for (logits, ious), (their_logits, their_ious) in zip(ours, wanted, strict=True):
        assert torch.equal(ious, their_ious) and torch.equal(logits, their_logits)
    found = sum(len(ious) for _, ious in ours)
    assert found == pytest.approx(3 * len(points) * (1 - share), abs=2)


@torch.no_grad()
def test_only_points_with_a_trusted_mask_are_drawn(
    sam: Sam, features: Tensor, points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    upscaling = sam.model.mask_decoder.output_upscaling
    monkeypatch.setattr(upscaling, "forward", lambda x, of=upscaling.forward: (drawn.append(len(x)), of(x))[1])
    everything = torch.cat([ious for _, ious in whole(sam, features, points, -torch.inf)])
    assert sum(drawn) == len(points)
    drawn.clear()
    found = list(decode(sam, features, points, float(everything.flatten().topk(4).values[-1])))
    assert sum(len(ious) for _, ious in found) == 3 and 1 <= sum(drawn) <= 3
    drawn.clear()
    list(decode(sam, features, points, torch.inf))
    assert not sum(drawn)


def test_toytowns_proposals_are_the_same_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    params: Params = preset("toytown")
    sam = load_sam(WEIGHTS)
    image: np.ndarray = draw(scene(0, 0, "tests")).image
    features = sam.encode(torch.from_numpy(to_frame(image, sam.image_size))[None])
    ours = propose(sam, features, image, params.evaluation)
    monkeypatch.setattr(proposals, "decode", whole)
    wanted = propose(sam, features, image, params.evaluation)
    assert ours.masks.to_strings() == wanted.masks.to_strings() and len(ours.masks) > 5
    assert ours.predicted_ious.tobytes() == wanted.predicted_ious.tobytes()
    assert ours.stability_scores.tobytes() == wanted.stability_scores.tobytes()
