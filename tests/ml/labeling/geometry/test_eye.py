import cv2
import numpy as np
import pytest
from open_clip.transform import image_transform
from PIL import Image

from ml.labeling.geometry.eye import Eye

SIZES = [(64, 64), (40, 100), (101, 33), (20, 30), (300, 451)]


def picture(size: tuple[int, int]) -> np.ndarray:
    """Of soft shapes, as photographs are: noise overshoots, and where that is cut off between two passes differs."""
    coarse = np.random.default_rng(0).integers(0, 256, (size[0] // 4, size[1] // 4, 3), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def theirs(image: np.ndarray, size: int, interpolation: str, mode: str) -> np.ndarray:
    """open_clip's own transform, its normalisation undone: levels of 255."""
    made = image_transform(size, False, (0.0,) * 3, (1.0,) * 3, resize_mode=mode, interpolation=interpolation)
    return (made(Image.fromarray(image)).permute(1, 2, 0) * 255).round().numpy()


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", SIZES)
def test_a_whole_image_is_seen_as_open_clip_shows_it(size: tuple[int, int], interpolation: str, mode: str) -> None:
    image = picture(size)
    ours = Eye(48, interpolation, mode).whole(image)
    difference = np.abs(ours.astype(int) - theirs(image, 48, interpolation, mode))
    assert ours.shape == (48, 48, 3) and difference.max() <= 1 and difference.mean() < 0.3


def test_toytowns_model_sees_areas() -> None:
    image = picture((90, 60))
    assert np.array_equal(Eye(48).whole(image), cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA))
    small = image[:20, :20]
    assert np.array_equal(Eye(48).whole(small), cv2.resize(small, (48, 48), interpolation=cv2.INTER_LINEAR))
