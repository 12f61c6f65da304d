"""The padding of SAM's frame."""

import torch
from torch import Tensor

MEAN_COLOUR = (124, 116, 104)  # SAM's pixel_mean, rounded: what padding looks like


def padded(image: Tensor, side: int) -> Tensor:
    """Pad uint8 [3, h, w] right and bottom: [4, side, side], the last channel 1 where the image is and 0 beside it.

    SAM sees zeros in the padding, after normalisation; no colour of whole numbers is zero then.
    """
    frame = torch.tensor((*MEAN_COLOUR, 0), dtype=torch.uint8)[:, None, None].repeat(1, side, side)
    frame[:3, : image.shape[1], : image.shape[2]] = image
    frame[3, : image.shape[1], : image.shape[2]] = 1
    return frame
