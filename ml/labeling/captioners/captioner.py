"""What every captioner promises."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ml.labeling.captioners.batch import Batch
from ml.workspace.report import Report


@dataclass(frozen=True)
class Captions:
    """What is said of a batch of n images with N masks in all.

    Attributes:
        masks: a caption a mask, [N]; None: there is none, and the captioner has counted why.
        images: a caption an image, [n], "" for none.
        embeddings: f32 [N, e], CLIP's of the masks' crops, where the captioner has come by them; else None.
    """

    masks: list[str | None]
    images: list[str]
    embeddings: NDArray[np.float32] | None = None


class Captioner(Protocol):
    """Captions the masks and images of one shard."""

    def look(self, batch: Batch) -> None:
        """Do what needs the batch's pixels alone, while the models are busy with the batch before."""
        ...

    def caption(self, batch: Batch) -> Captions:
        """What is said of the masks, in the order of the images and of their rows, and of the images.

        Raises:
            UserError: there will be no captions, for a reason that the user can mend.
        """
        ...

    def report(self) -> Report:
        """What there is to tell once all of the shard is captioned.

        Raises:
            UserError: too much of what was said is of no use.
        """
        ...
