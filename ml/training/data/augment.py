"""Augmentation that keeps words and pixels in agreement: mirrored images swap left and right in their texts."""

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ml.masks import Frame
from ml.params import Augment
from ml.sa1b.reading.frames import shown
from ml.sa1b.reading.padding import padded

_SIDES = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
_SIDE = re.compile(r"\b(left|right|leftmost|rightmost)\b", re.IGNORECASE)
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])  # NTSC
ASPECT = (3 / 4, 4 / 3)  # of a random crop, as in Inception
DOUBTED, LOST = 0.3, 0.55  # share of the masks whose crops are doubted, and of their cosines that they may lose


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


def doubt(rng: np.random.Generator, masks: int) -> np.ndarray:
    """What the embedding of each mask's crop is multiplied by, float32 `[N, 1]`: some are less like any text.

    So are those of masks that SAM draws badly, while the masks of a shard are good: heads that could rely on a crop
    would find nothing where it says no, and so they look at the grid as well. A crop that says yes stays true.
    """
    drawn, lost = rng.random((2, masks, 1), np.float32)
    return np.where(drawn < DOUBTED, 1 - LOST * lost, np.float32(1))


def plain_view(side: int) -> View:
    """The image as it is, as in validation."""
    return View(Frame(None, False, side), None)


def render(image: np.ndarray, view: View, size: tuple[int, int]) -> Tensor:
    """An RGB image as `view` shows it in SAM's frame: uint8 [4, S, S].

    `image`: uint8 [H, W, 3] of an image of `size` (height, width), maybe decoded smaller. Colours change last, on the
    fewest pixels, and before the padding.
    """
    pixels = shown(image, view.frame, size)
    shown_as = pixels if view.color is None else recolored(pixels, view.color)
    return torch.from_numpy(padded(shown_as.numpy(), view.frame.out))


def recolored(image: Tensor, color: tuple[float, float, float, float]) -> Tensor:
    """Change brightness, contrast, saturation and hue of an RGB image uint8 [3, h, w] by one matrix.

    Factors and turn mean what torchvision's ColorJitter means by them, except that hue turns in the YIQ plane, which
    keeps the luminance, and that nothing is cut off in between; in HSV the turn alone would take longer than the JPEG.
    """
    brightness, contrast, saturation, hue = color
    angle = -2 * np.pi * hue  # in YIQ red lies above yellow
    turn = saturation * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    chroma = np.linalg.inv(YIQ) @ np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((2, 1)), turn]]) @ YIQ
    pixels = image.flatten(1).float()
    grey = brightness * float(torch.tensor(YIQ[0], dtype=torch.float32) @ pixels.mean(1))
    matrix = torch.tensor(contrast * brightness * chroma, dtype=torch.float32)
    changed = torch.addmm(torch.full((3, 1), (1 - contrast) * grey), matrix, pixels)
    return changed.round_().clamp_(0, 255).to(torch.uint8).view(image.shape)


def _random_crop(
    rng: np.random.Generator, least: float, most: float, size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """A crop xyxy in whole pixels, of between `least` and `most` of the image's area."""
    height, width = size
    area = rng.uniform(least, most) * height * width
    aspect = np.exp(rng.uniform(*np.log(ASPECT)))
    w = min(width, max(1, round(float(np.sqrt(area * aspect)))))
    h = min(height, max(1, round(area / w)))
    x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    return float(x), float(y), float(x + w), float(y + h)
