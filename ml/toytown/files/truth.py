"""The truth about a drawn picture, recomputed from its place in a split: for scoring only, nothing trains on it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml.masks import Masks
from ml.params import Params
from ml.toytown.files.shards import shard_drawing
from ml.toytown.world.draw import Drawing
from ml.toytown.world.meaning import Meaning


@dataclass(frozen=True)
class Truth:
    """What is true of the regions of one picture."""

    drawing: Drawing

    @cached_property
    def meaning(self) -> Meaning:
        """Reads phrases: `meaning.of("the red car")` gives the ids of the nodes it means."""
        return Meaning(self.drawing)

    @cached_property
    def masks(self) -> Masks:
        """The visible pixels of every node, in the order of their ids."""
        return Masks.from_dense(self.drawing.masks)

    def nodes(self, masks: Masks) -> np.ndarray:
        """The node each mask shows: int64 [n], -1 where none is met with an IoU of at least a half."""
        iou = self.masks.iou(masks)
        return np.where(iou.max(0) >= 0.5, iou.argmax(0), -1)

    def levels(self, masks: Masks) -> list[str]:
        """part, object, group or scene a mask; "" where it shows no node."""
        return [self.drawing.scene.nodes[i].level if i >= 0 else "" for i in self.nodes(masks)]

    def parents(self, masks: Masks) -> np.ndarray:
        """int64 [n]: the index of the mask that best shows the nearest ancestor shown at all; -1 for none."""
        shown = self.nodes(masks)
        iou = self.masks.iou(masks)
        return np.array([self._parent(node, shown, iou) for node in shown], np.int64)

    def relevance(self, text: str, masks: Masks) -> np.ndarray:
        """float64 [n] in [0, 1]: how much each mask is what the text means (zero where it means nothing)."""
        return self.relevance_to(self.meaning.of(text), masks)

    def relevance_to(self, targets: tuple[int, ...], masks: Masks) -> np.ndarray:
        """float64 [n]: of each mask, the greatest IoU with a node that is meant."""
        return self.masks.select(list(targets)).iou(masks).max(0, initial=0.0)

    def _parent(self, node: int, shown: np.ndarray, iou: np.ndarray) -> int:
        """The best mask of the first ancestor that any mask shows."""
        while node >= 0:
            node = self.drawing.scene.nodes[node].parent
            candidates = np.flatnonzero(shown == node)
            if node >= 0 and len(candidates):
                return int(candidates[iou[node, candidates].argmax()])
        return -1


def truth(shard_index: int, index: int, params: Params) -> Truth:
    """The truth of image `index` of a training shard."""
    return Truth(shard_drawing(shard_index, index, params))


def truth_of_image(image_id: int, params: Params) -> Truth:
    """The truth of a training image by its id."""
    return truth(*divmod(image_id - 1, params.toytown.images_per_shard), params)
