"""Masked crops: what CLIP and CoCa see of a mask.

A square around the mask's box with some context. Pixels outside the mask keep a quarter of their contrast around
mid grey: the mask is what stands out, and the context still tells a wheel from a ball.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.labeling.geometry.eye import Eye
from ml.masks import Frame, PlainMasks

GREY = 127.0
CONTEXT = 0.25  # contrast outside the mask
MIN_SIDE = 24.0  # pixels of the image that a crop shows at least: a wheel alone is a disc

Image = NDArray[np.uint8]


def masked_crops(image: Image, masks: PlainMasks, eye: Eye, margin: float) -> Image:
    """The masked crops of all masks of an RGB image: uint8 `[n, s, s, 3]`, s the eye's size.

    The square's side is the box's longer side times 1 + 2 `margin`; what leaves the image is mid grey.
    """
    out = np.full((len(masks), eye.size, eye.size, 3), GREY, np.float32)
    for i, box in enumerate(masks.coco_boxes()):
        _draw(out[i], image, masks.select([i]), _square(box, margin), eye)
    return out.round().astype(np.uint8)


def _square(box: NDArray[np.float64], margin: float) -> tuple[float, float, float]:
    """Left, top and side of the square around a box xywh."""
    x, y, w, h = box
    side = max(w, h, MIN_SIDE) * (1 + 2 * margin)
    return x + (w - side) / 2, y + (h - side) / 2, side


def _draw(
    out: NDArray[np.float32], image: Image, mask: PlainMasks, square: tuple[float, float, float], eye: Eye
) -> None:
    """Paint the part of the square that lies in the image into `out` `[size, size, 3]`."""
    left, top, side = square
    height, width = image.shape[:2]
    x0, y0 = max(0, round(left)), max(0, round(top))
    x1, y1 = min(width, round(left + side)), min(height, round(top + side))
    scale = len(out) / side
    i0, j0 = round((y0 - top) * scale), round((x0 - left) * scale)
    h = min(max(round((y1 - y0) * scale), 1), len(out) - max(i0, 0))
    w = min(max(round((x1 - x0) * scale), 1), len(out) - max(j0, 0))
    pixels = eye.resized(image[y0:y1, x0:x1], h, w)
    weight = CONTEXT + (1 - CONTEXT) * _inside(mask, (x0, y0, x1, y1), (h, w))[..., None]
    out[max(i0, 0) :, max(j0, 0) :][:h, :w] = GREY + weight * (pixels - GREY)


def _inside(mask: PlainMasks, crop: tuple[int, int, int, int], shape: tuple[int, int]) -> NDArray[np.float32]:
    """The mask's coverage of each pixel of the resized crop, `[h, w]`."""
    out = max(shape)
    cover = mask.coverage((out, out), Frame(crop, False, out))[0]
    return cv2.resize(
        cover[: _short(crop[3] - crop[1], crop, out), : _short(crop[2] - crop[0], crop, out)], shape[::-1]
    )


def _short(length: int, crop: tuple[int, int, int, int], out: int) -> int:
    return max(int(length * out / max(crop[2] - crop[0], crop[3] - crop[1]) + 0.5), 1)
