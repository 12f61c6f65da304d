"""An image in SAM's frame, from a JPEG decoded no larger than the frame needs it.

segment_anything resizes with Pillow; torch's antialiased resize of uint8 has the same weights, differs by at most one
level of 255, and takes a quarter of the time.
"""

from math import ceil

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ml.masks import Frame

CELL = 16  # pixels of a frame a side of the feature grid's cells, in every SAM


def least_size(frame: Frame, size: tuple[int, int]) -> tuple[int, int]:
    """The least height and width to decode an image of `size` at, so that the frame is never enlarged from less."""
    x0, y0, x1, y1 = frame.region(size)
    scale = frame.out / max(x1 - x0, y1 - y0)
    return ceil(size[0] * scale), ceil(size[1] * scale)


def shown(image: np.ndarray, frame: Frame, size: tuple[int, int]) -> Tensor:
    """What a frame shows, cut, resized and mirrored, not yet padded: uint8 [3, h, w].

    Args:
        image: RGB uint8 [H, W, 3] of an image of `size` (height, width), maybe decoded smaller. A crop is then cut at
            whole pixels of what was decoded, so it is right to half a pixel of the frame.
    """
    x0, y0, x1, y1 = _pixels(image, frame, size)
    pixels = torch.from_numpy(image[y0:y1, x0:x1]).permute(2, 0, 1)[None]
    resized = F.interpolate(pixels, frame.resized(size), mode="bilinear", antialias=True)[0]
    return resized.flip(-1) if frame.flip else resized


def _pixels(image: np.ndarray, frame: Frame, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The region of the frame in whole pixels of the decoded image, at least one a side."""
    (x0, y0, x1, y1), (height, width) = frame.region(size), image.shape[:2]
    left, right = round(x0 * width / size[1]), round(x1 * width / size[1])
    top, bottom = round(y0 * height / size[0]), round(y1 * height / size[0])
    return left, top, max(right, left + 1), max(bottom, top + 1)
