"""The one of several that is clearly at a place among them: ordinals from a side, corners, the middle, near and far.

Where none clearly is, none is chosen. Near-duplicates count once, and the parts of one of the several not at all.
"""

import numpy as np
from numpy.typing import NDArray

from ml.labeling.geometry.relations import LARGER, PART_OF, Geometry

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

STEP = 0.06  # least distance along an axis from one to the next, in image sides
CENTRAL = 0.15  # of the picture's middle, in image sides: the nearest lies so near, all others so much farther
ROW = 0.5  # most height of a row of things, in its lengths
SIDES = {"left": (0, 1), "right": (0, -1), "top": (1, 1), "bottom": (1, -1)}  # axis, and direction of counting
ORDINALS = {f"{nth} from {side}": (n, side) for n, nth in ((1, "second"), (2, "third")) for side in SIDES}
CORNERS = {f"{rise} {side}": (rise, side) for rise in ("top", "bottom") for side in ("left", "right")}
DEPTHS = {"nearest": 1, "farthest": -1}
RANKS = (*ORDINALS, *CORNERS, "middle", *DEPTHS)


def ranked(name: str, geometry: Geometry, candidates: Mask) -> Mask:
    """The candidate (bool [N]) that clearly has a rank of `RANKS` among them, with its near-duplicates: bool [N]."""
    among = several(geometry, candidates)
    chosen = among[_chosen(name, geometry, among)]
    return candidates & geometry.duplicates[chosen].any(axis=0)


def several(geometry: Geometry, candidates: Mask) -> NDArray[np.int64]:
    """Indices of those that count: of near-duplicates the first, and no part of another candidate."""
    again = np.triu(geometry.duplicates & candidates[:, None], 1).any(axis=0)
    part = (geometry.relations[PART_OF] & candidates[None, :]).any(axis=1)
    return np.flatnonzero(candidates & ~again & ~part)


def _chosen(name: str, geometry: Geometry, among: NDArray[np.int64]) -> Mask:
    """Which of n things has the rank: bool [n], of which one or none is true."""
    centers, frame = geometry.centers[among], geometry.frame
    if len(among) < 2:
        return np.zeros(len(among), bool)
    if name in ORDINALS:
        return _counted(centers, *ORDINALS[name])
    if name in CORNERS:
        return np.logical_and.reduce([_first(_along(centers - frame / 2, side)) for side in CORNERS[name]])
    if name == "middle":
        return _middle(centers, frame)
    return _deep(geometry.boxes[among], geometry.areas[among], DEPTHS[name])


def _along(points: Floats, side: str) -> Floats:
    """How far points [n, 2] lie from a side: f64 [n], 0 halfway for points told from the picture's middle."""
    axis, direction = SIDES[side]
    return points[:, axis] * direction


def _first(values: Floats) -> Mask:
    """The least, where it lies on its own half of the picture and clearly before all others."""
    order = np.sort(values)
    return (values == order[0]) & (order[0] < 0) & (order[1] - order[0] >= STEP)


def _counted(centers: Floats, nth: int, side: str) -> Mask:
    """The nth from a side, counted from 0, where all follow one another clearly and it is not the last."""
    values = _along(centers, side)
    order = np.argsort(values)
    clear = nth < len(values) - 1 and (np.diff(values[order]) >= STEP).all()
    return (np.arange(len(values)) == order[nth]) if clear else np.zeros(len(values), bool)


def _middle(centers: Floats, frame: Floats) -> Mask:
    """The middle one of an odd row, if no other is nearer the picture's middle; without a row the one that is there."""
    distances = np.hypot(*(centers - frame / 2).T)
    nearest, second = np.sort(distances)[:2]
    halfway = _halfway(centers)
    clear = nearest <= CENTRAL and second - nearest >= CENTRAL
    return (distances == nearest) & (halfway if halfway.any() else clear)


def _halfway(centers: Floats) -> Mask:
    """The middle one of an odd row: bool [n]."""
    spread = np.ptp(centers, axis=0)
    if len(centers) % 2 == 0 or spread.min() > ROW * spread.max():
        return np.zeros(len(centers), bool)
    return _counted(centers, len(centers) // 2, "left" if spread[0] == spread.max() else "top")


def _deep(boxes: Floats, areas: Floats, direction: int) -> Mask:
    """The nearest (1) or farthest (-1) of things that stand on one ground: its foot is lowest, and it is largest.

    A heuristic of pictures of a ground plane: nearer things stand lower and look larger. Both must say so clearly; a
    tall thing far away, or one that flies, then mostly names none.
    """
    feet, sizes = direction * (boxes[:, 1] + boxes[:, 3]), direction * np.log(np.maximum(areas, 1e-12))
    lowest, largest = np.sort(feet)[::-1], np.sort(sizes)[::-1]
    clear = lowest[0] - lowest[1] >= STEP and largest[0] - largest[1] >= np.log(LARGER)
    return (feet == lowest[0]) & (sizes == largest[0]) & clear
