"""What a model says of texts and masks: the same from PyTorch and from what is released."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RELEVANT = 0.5  # score above which a mask is what a query means


@dataclass(frozen=True)
class Answers:
    """What the model says of Q texts and N masks of an image.

    Attributes:
        relevance: float32 [Q, N] in [0, 1].
        grounding: float32 [Q, N] in [-1, 1], how well the grounding map agrees with each mask.
        scores: float32 [Q, N], the mean of the two, grounding having grounding_weight: what masks are ranked by, and
            by which it is judged whether anything is meant.
        maps: float32 [Q, h, w] in [0, 1], the grounding maps over the image (padding cut off), or none [0, h, w].
    """

    relevance: NDArray[np.float32]
    grounding: NDArray[np.float32]
    scores: NDArray[np.float32]
    maps: NDArray[np.float32]

    def present(self, query: int) -> bool:
        """Whether anything is what a query means."""
        return bool(self.scores[query].max(initial=0.0) > RELEVANT)

    def best(self, query: int, most: int) -> NDArray[np.int64]:
        """Indices of the masks with the highest scores for a query, best first; ties keep the proposals' order."""
        return np.argsort(-self.scores[query], kind="stable")[:most]


def weighted(
    relevance: NDArray[np.float32], grounding: NDArray[np.float32], maps: NDArray[np.float32], grounding_weight: float
) -> Answers:
    """The two with their weighted mean."""
    weight = np.float32(grounding_weight)
    scores = ((relevance + weight * grounding) / (1 + weight)).astype(np.float32)
    return Answers(relevance, grounding, scores, maps)
