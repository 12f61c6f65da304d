"""Images that are described together, and what a model with an eye sees of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.labeling.geometry.crops import masked_crops
from ml.labeling.geometry.eye import Eye
from ml.labeling.kept import KeptImage

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Batch:
    """Images with their pixels, uint8 RGB [H, W, 3], n of them with N masks in all.

    What is cut for an eye is cut once, whoever looks through it.
    """

    images: list[tuple[KeptImage, Image]]
    margin: float  # context around a mask's box, in box sizes
    _crops: dict[Eye, Tensor] = field(default_factory=dict)
    _whole: dict[Eye, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[tuple[KeptImage, Image]]:
        return iter(self.images)

    def crops(self, eye: Eye) -> Tensor:
        """The masked crops of all masks, uint8 [N, 3, s, s], s the eye's size."""
        if eye not in self._crops:
            cut = [masked_crops(image, kept.masks(), eye, self.margin) for kept, image in self]
            self._crops[eye] = _tensor(cut)
        return self._crops[eye]

    def whole(self, eye: Eye) -> Tensor:
        """Each image as the eye sees it, uint8 [n, 3, s, s]."""
        if eye not in self._whole:
            self._whole[eye] = _tensor([eye.whole(image)[None] for _, image in self])
        return self._whole[eye]


def _tensor(pictures: list[Image]) -> Tensor:
    """[n, s, s, 3] each -> uint8 [sum n, 3, s, s]."""
    return torch.from_numpy(np.concatenate(pictures).transpose(0, 3, 1, 2).copy())
