"""How a vision-language model is shown pictures: resized as in the preprocessing that it was trained with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Eye:
    """The preprocessing that open_clip names with a model's weights, but for its normalisation.

    Attributes:
        size: pixels a side of what the model sees.
        interpolation: bicubic or bilinear, antialiased, as Pillow and torchvision resize (to one level of 255); or
            area, OpenCV's, which toytown's model was trained with.
        resize_mode: a whole image is cut to a square after its `shortest` side is resized, padded with black after its
            `longest` is, or squashed (`squash`).
    """

    size: int
    interpolation: str = "area"
    resize_mode: str = "squash"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """How the model of a `clip.json` is shown pictures; where it does not say, as toytown's is."""
        size, named = config["architecture"]["vision_cfg"]["image_size"], ("interpolation", "resize_mode")
        return cls(size, **{name: config[name] for name in named if name in config})

    def resized(self, pixels: Image, height: int, width: int) -> Image:
        """RGB `[H, W, 3]` at another size, uint8 `[height, width, 3]`."""
        if self.interpolation == "area":
            shrinks = height < pixels.shape[0] or width < pixels.shape[1]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            return cv2.resize(pixels, (width, height), interpolation=method).astype(np.uint8, copy=False)
        import torch  # a second, and what is released has none
        import torch.nn.functional as F

        given = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        found = F.interpolate(given, (height, width), mode=self.interpolation, antialias=True)
        return found[0].permute(1, 2, 0).contiguous().numpy()

    def whole(self, image: Image) -> Image:
        """An RGB image `[H, W, 3]` as one square, uint8 `[size, size, 3]`."""
        if self.resize_mode == "squash":
            return self.resized(image, self.size, self.size)
        side = (min if self.resize_mode == "shortest" else max)(image.shape[:2])
        height, width = (self._scaled(length, side) for length in image.shape[:2])
        return _centred(self.resized(image, height, width), self.size)

    def _scaled(self, length: int, side: int) -> int:
        """A side of the image as torchvision (whole pixels, rounded down) or open_clip (to the nearest) has it."""
        scaled = length * self.size / side
        return max(int(scaled) if self.resize_mode == "shortest" else round(scaled), 1)


def _centred(image: Image, size: int) -> Image:
    """The middle of an image `[h, w, 3]`, with black where it is smaller: `[size, size, 3]`."""
    out = np.zeros((size, size, 3), np.uint8)
    (top, to_top, h), (left, to_left, w) = (_middle(length, size) for length in image.shape[:2])
    out[to_top : to_top + h, to_left : to_left + w] = image[top : top + h, left : left + w]
    return out


def _middle(length: int, size: int) -> tuple[int, int, int]:
    """Where the middle of `length` begins, where it begins in `size`, and how long it is."""
    if length >= size:
        return round((length - size) / 2), 0, size
    return 0, (size - length) // 2, length
