"""How a mask lies to one that it is near: next to it, behind it, in front of it; closest to it, or between two.

What is loose (`slack` above 1) is what a person might also say; a query is clear where both mean the same mask.
"""

import numpy as np
from numpy.typing import NDArray

from ml.labeling.geometry.ranks import several
from ml.labeling.geometry.relations import PART_OF, Geometry, Pairs

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEIGHBOURS = ("next to", "behind", "in front of")
CLOSEST, BETWEEN = "closest to", "between"
GAP = 0.6  # most gap between neighbours, in sides of the smaller one
ABREAST = 0.5  # least share of the lower one's height that two side by side have in common
DEEPER = 0.04  # least distance of the feet of one behind the other, in image sides
FARTHER = 1.5  # at least so many times as far as the closest are all others
APART = 0.15  # least distance of two things with one between them, in image sides
ASIDE = 0.2  # farthest off the line between two, in its lengths
AMID = 0.25  # nearest to either end of it


def beside(name: str, geometry: Geometry, slack: float = 1.0) -> Pairs:
    """Whether mask i is NAME (of `NEIGHBOURS`) mask j: bool [N, N]; `slack`: how many times as far it may be."""
    related = geometry.duplicates | geometry.relations[PART_OF] | geometry.relations[PART_OF].T
    if name == "next to":
        return _abreast(geometry.boxes, slack) & ~related
    behind = _behind(geometry, slack) & ~related
    return behind if name == "behind" else behind.T


def closest(geometry: Geometry, candidates: Mask, anchor: int) -> Mask:
    """The candidate (bool [N]) clearly closest to the anchor, by centres and by gaps, with its near-duplicates."""
    tied = geometry.duplicates | geometry.relations[PART_OF] | geometry.relations[PART_OF].T
    among = several(geometry, candidates & ~tied[anchor])
    if len(among) < 2:
        return np.zeros(len(candidates), bool)
    distances = np.hypot(*(geometry.centers[among] - geometry.centers[anchor]).T)
    gaps = _gaps(geometry.boxes[among], geometry.boxes[[anchor]])[:, 0]
    first, second = np.argsort(distances)[:2]
    far = distances[second] >= FARTHER * distances[first] and gaps[first] + DEEPER <= np.delete(gaps, first).min()
    return candidates & geometry.duplicates[among[first]] & far


def between(geometry: Geometry, a: int, b: int, slack: float = 1.0) -> Mask:
    """The masks whose centres lie between those of two others, near the line and away from its ends: bool [N]."""
    line = geometry.centers[b] - geometry.centers[a]
    length = float(np.hypot(*line))
    if length < APART:
        return np.zeros(len(geometry.areas), bool)
    along = (geometry.centers - geometry.centers[a]) @ line / length**2
    off = np.abs((geometry.centers - geometry.centers[a]) @ np.array([-line[1], line[0]])) / length**2
    tied = geometry.duplicates | geometry.relations[PART_OF]
    return (np.abs(along - 0.5) <= 0.5 - AMID / slack) & (off <= ASIDE * slack) & ~tied[:, [a, b]].any(axis=1)


def _abreast(boxes: Floats, slack: float) -> Pairs:
    """Near one another for their size; strictly so, also side by side and hardly one before the other."""
    across, up = _overlaps(boxes, boxes)
    smaller = np.sqrt(np.minimum.outer(*[boxes[:, 2] * boxes[:, 3]] * 2))
    near = _gaps(boxes, boxes) <= GAP * slack * smaller
    if slack > 1:
        return near
    widths, heights = (np.minimum.outer(sides, sides) for sides in boxes[:, 2:].T)
    return near & (up >= ABREAST * heights) & (across <= ABREAST / 2 * widths)


def _behind(geometry: Geometry, slack: float) -> Pairs:
    """Mask i touches mask j and its foot is higher, yet below j's middle: it stands behind and not upon it.

    A heuristic of pictures of a ground plane, as for near and far.
    """
    boxes = geometry.boxes
    feet, middles = boxes[:, 1] + boxes[:, 3], geometry.centers[:, 1]
    higher = feet[None, :] - feet[:, None]  # of i's foot above j's
    if slack > 1:
        return (_gaps(boxes, boxes) <= DEEPER) & (higher > 0)
    return geometry.relations["overlapping"] & (higher >= DEEPER) & (feet[:, None] > middles[None, :])


def _overlaps(boxes: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Lengths that boxes [N, 4] and others [M, 4], xywh, share across and up, negative for a gap: f64 [N, M] each."""
    ends, beyond = boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:]
    shared = np.minimum(ends[:, None], beyond[None]) - np.maximum(boxes[:, None, :2], others[None, :, :2])
    return shared[..., 0], shared[..., 1]


def _gaps(boxes: Floats, others: Floats) -> Floats:
    """Distances between boxes, 0 where they overlap: f64 [N, M]."""
    return np.hypot(*(np.maximum(-shared, 0.0) for shared in _overlaps(boxes, others)))
