"""What is left of SAM without its encoder proposes the same masks, and is all that is read and kept."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ml.errors import UserError
from ml.evaluation.predictions.proposals import propose
from ml.models.frozen.sam import Sam, build_sam
from ml.release.mask_decoder import load_mask_decoder, mask_decoder_of, write_mask_decoder
from ml.toytown.pretraining.pretrain import WEIGHTS
from ml.workspace.settings import preset


def test_masks_are_those_of_the_whole_sam(sam: Sam, tmp_path: Path) -> None:
    write_mask_decoder(WEIGHTS, tmp_path)
    images = (
        torch.randint(0, 256, (1, 4, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)) // 128
    )
    loose = {"predicted_iou": -1e9, "stability_score": 0.0}
    features, params = sam.encode(images), preset("toytown").evaluation.model_copy(update=loose)
    wanted = propose(sam, features, (256, 256), params)
    for part in (load_mask_decoder(tmp_path), mask_decoder_of(WEIGHTS)):
        assert part.config == sam.config
        found = propose(part, features, (256, 256), params)
        assert found.masks.to_strings() == wanted.masks.to_strings() and len(found.masks) > 3
        assert (found.predicted_ious == wanted.predicted_ious).all()


def test_the_encoder_is_neither_kept_nor_made_nor_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = load_file(WEIGHTS / "sam.safetensors")
    encoder = {name for name in weights if name.startswith("image_encoder.")}
    weights |= {name: torch.full_like(weights[name], torch.nan) for name in encoder}  # whoever reads it would say so
    (tmp_path / "whole").mkdir()
    save_file(weights, tmp_path / "whole" / "sam.safetensors")
    (tmp_path / "whole" / "sam.json").write_text((WEIGHTS / "sam.json").read_text())
    devices = set()
    monkeypatch.setattr(
        "ml.release.mask_decoder.build_sam",
        lambda config: (whole := build_sam(config), devices.update(p.device for p in whole.image_encoder.parameters()))[
            0
        ],
    )
    write_mask_decoder(tmp_path / "whole", tmp_path)
    assert devices == {torch.device("meta")}
    assert set(load_file(tmp_path / "mask_decoder.safetensors")) == set(weights) - encoder
    assert not list(load_mask_decoder(tmp_path).model.image_encoder.parameters())


def test_missing_and_foreign_weights_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mask_decoder\.json: missing"):
        load_mask_decoder(tmp_path)
    write_mask_decoder(WEIGHTS, tmp_path)
    save_file({"mask_decoder.other": torch.zeros(1)}, tmp_path / "mask_decoder.safetensors")
    with pytest.raises(UserError, match=r"mask_decoder\.safetensors: weights of another model"):
        load_mask_decoder(tmp_path)
