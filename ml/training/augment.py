"""Augmentation that keeps words and pixels in agreement: mirrored images swap left and right in their texts."""

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ml.masks import Frame
from ml.params import Augment

_SIDES = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
_SIDE = re.compile(r"\b(left|right|leftmost|rightmost)\b", re.IGNORECASE)
ASPECT = (3 / 4, 4 / 3)  # of a random crop, as in Inception


@dataclass(frozen=True)
class View:
    """How one image is seen in one epoch: where it is cut and mirrored, and factors for its colours."""

    frame: Frame
    color: tuple[float, float, float, float] | None  # brightness, contrast, saturation factors; hue shift

    def text(self, text: str) -> str:
        """The text as it is true of this view."""
        return mirrored(text) if self.frame.flip else text


def mirrored(text: str) -> str:
    """`text` with left and right swapped."""
    return _SIDE.sub(lambda found: _SIDES[found.group().lower()], text)


def cached_view(rng: np.random.Generator, augment: Augment, side: int) -> View:
    """A view that cached features allow: as is, or mirrored."""
    return View(Frame(None, bool(rng.random() < augment.flip), side), None)


def random_view(rng: np.random.Generator, augment: Augment, side: int, size: tuple[int, int]) -> View:
    """A random resized crop, flip and colour jitter of an image of `size` (height, width)."""
    flip = bool(rng.random() < augment.flip)
    brightness, contrast, saturation, hue = augment.color_jitter
    factors = [1 + rng.uniform(-jitter, jitter) for jitter in (brightness, contrast, saturation)]
    crop = _random_crop(rng, augment.crop_scale[0], augment.crop_scale[1], size)
    return View(Frame(crop, flip, side), (factors[0], factors[1], factors[2], rng.uniform(-hue, hue)))


def plain_view(side: int) -> View:
    """The image as it is, as in validation."""
    return View(Frame(None, False, side), None)


def render(image: np.ndarray, view: View) -> np.ndarray:
    """An RGB image uint8 [H, W, 3] as `view` shows it, cut, mirrored and coloured, at its own scale: [h, w, 3]."""
    x0, y0, x1, y1 = (int(edge) for edge in view.frame.region(image.shape[:2]))
    cut = image[y0:y1, x0:x1]
    cut = np.ascontiguousarray(cut[:, ::-1] if view.frame.flip else cut)
    if view.color is None:
        return cut
    return _recolored(torch.from_numpy(cut).permute(2, 0, 1), view.color).permute(1, 2, 0).contiguous().numpy()


def _recolored(image: Tensor, color: tuple[float, float, float, float]) -> Tensor:
    from torchvision.transforms.v2 import functional

    image = functional.adjust_brightness(image, color[0])
    image = functional.adjust_contrast(image, color[1])
    image = functional.adjust_saturation(image, color[2])
    return functional.adjust_hue(image, color[3])


def _random_crop(
    rng: np.random.Generator, least: float, most: float, size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """xyxy in whole pixels, between `least` and `most` of the image's area."""
    height, width = size
    area = rng.uniform(least, most) * height * width
    aspect = np.exp(rng.uniform(*np.log(ASPECT)))
    w = min(width, max(1, round(float(np.sqrt(area * aspect)))))
    h = min(height, max(1, round(area / w)))
    x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    return float(x), float(y), float(x + w), float(y + h)
