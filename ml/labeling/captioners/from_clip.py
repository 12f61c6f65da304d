"""Captions by a CoCa on this machine, which gives its embeddings of the same crops, too."""

from typing import Protocol

import torch
from torch import Tensor

from ml.labeling.captioners.batch import Batch
from ml.labeling.captioners.captioner import Captions
from ml.labeling.geometry.eye import Eye
from ml.workspace.report import Report


class CoCa(Protocol):
    """A frozen CoCa: `ml.models.frozen.clip.Clip`, or anything alike."""

    eye: Eye

    def describe(self, crops: Tensor) -> tuple[Tensor, list[str]]:
        """Embeddings `[B, e]`, L2-normalised, and captions of uint8 RGB crops `[B, 3, s, s]`."""
        ...


class ClipCaptioner:
    """Captions masked crops and whole images, a batch in one pass."""

    def __init__(self, model: CoCa, clip: object) -> None:
        """`clip`: what embeds the masks' crops; where it is `model` itself, no crop is looked at twice."""
        self.model, self.embeds = model, model is clip

    def look(self, batch: Batch) -> None:
        """Cut the masks' crops and the whole images."""
        batch.crops(self.model.eye)
        batch.whole(self.model.eye)

    def caption(self, batch: Batch) -> Captions:
        """What the CoCa says of each masked crop, and of each image."""
        seen = torch.cat([batch.crops(self.model.eye), batch.whole(self.model.eye)])
        embeddings, captions = self.model.describe(seen)
        masks = len(captions) - len(batch)
        return Captions(
            list(captions[:masks]), captions[masks:], embeddings[:masks].float().numpy() if self.embeds else None
        )

    def report(self) -> Report:
        """Nothing more than what is told of any caption."""
        return Report()
