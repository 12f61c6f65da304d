import json
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything.predictor import SamPredictor
from segment_anything.utils.transforms import ResizeLongestSide

from ml.errors import UserError
from ml.models.frozen.sam import SamConfig, build_sam, load_sam
from ml.models.weights import write_weights
from ml.sa1b.reading.padding import to_frame

CONFIG = SamConfig("tiny", image_size=64, width=32, depth=1, heads=2, channels=32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    sha256 = write_weights(tmp_path / "sam.safetensors", build_sam(CONFIG))
    (tmp_path / "sam.json").write_text(json.dumps({**CONFIG.to_json(), "sha256": sha256}))
    return tmp_path


@pytest.mark.parametrize("size", [(100, 100), (50, 100), (90, 30)])
def test_encode_is_what_the_predictor_sees(folder: Path, size: tuple[int, int]) -> None:
    """Padding included: it is zero after normalisation, which no colour is."""
    sam = load_sam(folder)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    predictor = SamPredictor(sam.model)
    predictor.set_image(image)
    ours = sam.encode(torch.from_numpy(to_frame(image, 64))[None])
    assert ours.shape == (1, 32, 4, 4)
    torch.testing.assert_close(ours, predictor.get_image_embedding(), rtol=1e-5, atol=1e-6)


def test_the_sam_is_frozen(folder: Path) -> None:
    sam = load_sam(folder)
    assert not any(parameter.requires_grad for parameter in sam.model.parameters())
    assert not sam.encode(torch.zeros(1, 4, 64, 64, dtype=torch.uint8)).requires_grad


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (200, 100), (64, 64)])
def test_frame_resizes_the_longest_side_and_says_what_is_padding(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 200, np.uint8)
    frame = to_frame(image, 64)
    h, w = ResizeLongestSide.get_preprocess_shape(*shape, 64)
    assert max(h, w) == 64 and frame.shape == (4, 64, 64)
    assert (frame[:3, :h, :w] == 200).all() and (frame[3, :h, :w] == 1).all() and frame[3].sum() == h * w


def test_missing_broken_and_foreign_weights_are_one_line(folder: Path) -> None:
    (folder / "sam.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UserError, match="not readable as safetensors") as error:
        load_sam(folder)
    assert "\n" not in str(error.value)
    write_weights(folder / "sam.safetensors", torch.nn.Linear(2, 2))
    with pytest.raises(UserError, match="weights of another model"):
        load_sam(folder)
    (folder / "sam.safetensors").unlink()
    with pytest.raises(UserError, match="missing"):
        load_sam(folder)
    (folder / "sam.json").write_text("[")
    with pytest.raises(UserError, match="not readable as JSON"):
        load_sam(folder)
