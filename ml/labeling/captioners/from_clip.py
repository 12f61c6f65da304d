"""Captions by a CoCa on this machine, which gives its embeddings of the same crops, too."""

from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.labeling.captioners.captioner import Batch, Captions
from ml.labeling.geometry.crops import masked_crops
from ml.workspace.report import Report


class CoCa(Protocol):
    """A frozen CoCa: `ml.models.frozen.clip.Clip`, or anything alike."""

    image_size: int

    def describe(self, crops: Tensor) -> tuple[Tensor, list[str]]:
        """Embeddings `[B, e]`, L2-normalised, and captions of uint8 RGB crops `[B, 3, image_size, image_size]`."""
        ...


class ClipCaptioner:
    """Captions masked crops and whole images, a batch in one pass."""

    def __init__(self, model: CoCa, clip: object, margin: float) -> None:
        """`clip`: what embeds the masks' crops; where it is `model` itself, no crop is looked at twice."""
        self.model, self.embeds, self.margin = model, model is clip, margin

    def caption(self, batch: Batch) -> Captions:
        """What the CoCa says of each masked crop, and of each image."""
        whole = [_whole(image, self.model.image_size) for _, image in batch]
        crops = crops_of(batch, self.model.image_size, self.margin)
        embeddings, captions = self.model.describe(_tensor([*crops, *whole]))
        masks = len(captions) - len(batch)
        return Captions(
            list(captions[:masks]), captions[masks:], embeddings[:masks].float().numpy() if self.embeds else None
        )

    def report(self) -> Report:
        """Nothing more than what is told of any caption."""
        return Report()


def mask_tensor(batch: Batch, size: int, margin: float) -> Tensor:
    """The masked crops of all masks of a batch, uint8 [N, 3, size, size]."""
    return _tensor(crops_of(batch, size, margin))


def crops_of(batch: Batch, size: int, margin: float) -> list[NDArray[np.uint8]]:
    """The masked crops of each image, uint8 [n, size, size, 3]."""
    return [masked_crops(image, kept.masks(), size, margin) for kept, image in batch]


def _whole(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The image as one crop, uint8 [1, size, size, 3]."""
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)[None].astype(np.uint8, copy=False)


def _tensor(crops: list[NDArray[np.uint8]]) -> Tensor:
    """[n, s, s, 3] each -> uint8 [sum n, 3, s, s]."""
    return torch.from_numpy(np.concatenate(crops).transpose(0, 3, 1, 2).copy())
