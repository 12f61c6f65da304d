"""What is left of SAM without its encoder proposes the same masks, and is all that is read and kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ml.evaluation.predictions.decoding import decode
from ml.evaluation.predictions.proposals import propose
from ml.models.frozen.sam import Sam, build_sam
from ml.release.export.mask_decoder import mask_decoder_of
from ml.release.runtime.proposals import DRAWING, POINTS
from ml.release.runtime.sessions import Graph
from ml.toytown.pretraining.pretrain import WEIGHTS
from ml.workspace.settings import preset


def test_masks_are_those_of_the_whole_sam(sam: Sam) -> None:
    images = (
        torch.randint(0, 256, (1, 4, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)) // 128
    )
    loose = {"predicted_iou": -1e9, "stability_score": 0.0}
    features, params = sam.encode(images), preset("toytown").evaluation.model_copy(update=loose)
    image = np.ascontiguousarray(images[0, :3].permute(1, 2, 0).numpy())
    wanted, part = propose(sam, features, image, params), mask_decoder_of(WEIGHTS)
    found = propose(part, features, image, params)
    assert part.config == sam.config
    assert found.masks.to_strings() == wanted.masks.to_strings() and len(found.masks) > 3
    assert (found.predicted_ious == wanted.predicted_ious).all()


@pytest.mark.parametrize("count", [1, 70])
def test_the_graphs_propose_as_the_model_does(variants: Path, sam: Sam, count: int) -> None:
    features = torch.randn(1, sam.channels, sam.grid, sam.grid, generator=torch.Generator().manual_seed(count))
    points = torch.rand(count, 2, generator=torch.Generator().manual_seed(count)) * sam.image_size
    tokens, grid, ious = Graph(variants / "common" / POINTS)(features=features.numpy(), points=points.numpy())
    (logits,) = Graph(variants / "common" / DRAWING)(tokens=tokens, grid=grid)
    with torch.no_grad():
        wanted, wanted_ious = zip(*decode(sam, features, points, -1e9), strict=True)
    np.testing.assert_allclose(ious.reshape(-1), torch.cat(wanted_ious).numpy(), atol=1e-4)
    np.testing.assert_allclose(logits.reshape(-1, *logits.shape[2:]), torch.cat(wanted).numpy(), atol=5e-3)


def test_the_encoder_is_neither_kept_nor_made_nor_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = load_file(WEIGHTS / "sam.safetensors")
    encoder = {name for name in weights if name.startswith("image_encoder.")}
    weights |= {name: torch.full_like(weights[name], torch.nan) for name in encoder}  # whoever reads it would say so
    (tmp_path / "whole").mkdir()
    save_file(weights, tmp_path / "whole" / "sam.safetensors")
    (tmp_path / "whole" / "sam.json").write_text((WEIGHTS / "sam.json").read_text())
    devices = set()
    monkeypatch.setattr(
        "ml.release.export.mask_decoder.build_sam",
        lambda config: (whole := build_sam(config), devices.update(p.device for p in whole.image_encoder.parameters()))[
            0
        ],
    )
    part = mask_decoder_of(tmp_path / "whole")
    assert devices == {torch.device("meta")}
    assert not list(part.model.image_encoder.parameters())
