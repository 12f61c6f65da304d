"""What a model behind an endpoint sees of a mask: a JPEG of its surroundings, with the mask drawn into it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.labeling.geometry.crops import CONTEXT, GREY, MIN_SIDE
from ml.masks import Frame, Masks
from ml.params import OpenAi

RED = (255, 0, 0)
QUALITY = 90
LINE = 100  # pixels of the longer side for each pixel of the line: JPEG halves colours, and thinner ones fade

Image = NDArray[np.uint8]


def drawn_masks(image: Image, masks: Masks, params: OpenAi) -> list[bytes]:
    """A JPEG a mask of an RGB image: its box with `crop_margin` around it, the longer side `crop_size` pixels."""
    boxes = [_around(box, image.shape[:2], params.crop_margin) for box in masks.coco_boxes()]
    return [_draw(image, masks.select([i]), box, params) for i, box in enumerate(boxes)]


def drawn_image(image: Image, params: OpenAi) -> bytes:
    """A JPEG of the whole image, the longer side `crop_size` pixels."""
    height, width = image.shape[:2]
    return _jpeg(_resized(image, Frame((0, 0, width, height), False, params.crop_size)))


def _around(box: NDArray[np.float64], size: tuple[int, int], margin: float) -> tuple[int, int, int, int]:
    """Corners x0, y0, x1, y1 of a box xywh with a margin, in its longer sides, cut at the image of `size` (h, w)."""
    x, y, w, h = box
    more = max(w, h) * margin
    wide, tall = max(w + 2 * more, MIN_SIDE), max(h + 2 * more, MIN_SIDE)
    x0, y0 = max(0, int(x + (w - wide) / 2)), max(0, int(y + (h - tall) / 2))
    return x0, y0, min(size[1], int(np.ceil(x0 + wide))), min(size[0], int(np.ceil(y0 + tall)))


def _draw(image: Image, mask: Masks, box: tuple[int, int, int, int], params: OpenAi) -> bytes:
    frame = Frame(box, False, params.crop_size)
    pixels = _resized(image, frame)
    height, width = pixels.shape[:2]
    cover = mask.coverage((params.crop_size, params.crop_size), frame)[0, :height, :width]
    if params.drawing == "dim":
        weight = CONTEXT + (1 - CONTEXT) * cover[..., None]
        pixels = (GREY + weight * (pixels - GREY)).round().astype(np.uint8)
    if params.drawing == "outline":
        lines, _ = cv2.findContours((cover >= 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(pixels, lines, -1, RED, max(1, params.crop_size // LINE))
    return _jpeg(pixels)


def _resized(image: Image, frame: Frame) -> Image:
    """The frame's part of the image, resized, without the frame's padding."""
    x0, y0, x1, y1 = map(int, frame.region(image.shape[:2]))
    height, width = frame.resized(image.shape[:2])
    method = cv2.INTER_AREA if height < y1 - y0 else cv2.INTER_CUBIC
    return cv2.resize(image[y0:y1, x0:x1], (width, height), interpolation=method).astype(np.uint8, copy=False)


def _jpeg(pixels: Image) -> bytes:
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()
