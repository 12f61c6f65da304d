"""SAM's frame: an image whose longest side is resized to `size`, padded right and bottom."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEAN_COLOUR = (124, 116, 104)  # SAM's pixel_mean, rounded: what padding looks like


def to_frame(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bring an RGB image `[H, W, 3]` into SAM's frame, `[4, size, size]`, resized as `SamPredictor` does."""
    height, width = (max(int(side * size / max(image.shape[:2]) + 0.5), 1) for side in image.shape[:2])
    if (height, width) != image.shape[:2]:
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    return padded(image.transpose(2, 0, 1), size)


def padded(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Pad uint8 [3, h, w] right and bottom: [4, side, side], the last channel 1 where the image is and 0 beside it.

    SAM sees zeros in the padding, after normalisation; no colour of whole numbers is zero then.
    """
    frame = np.empty((4, side, side), np.uint8)
    frame[:] = np.array((*MEAN_COLOUR, 0), np.uint8)[:, None, None]
    frame[:3, : image.shape[1], : image.shape[2]] = image
    frame[3, : image.shape[1], : image.shape[2]] = 1
    return frame
