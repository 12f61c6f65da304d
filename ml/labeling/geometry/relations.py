"""Spatial relations between the masks of an image: geometry alone, for all pairs at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.masks import Frame, PlainMasks

Pairs = NDArray[np.bool_]

RELATIONS = ("left of", "right of", "above", "below", "inside", "overlapping", "larger than")
SUPERLATIVES = ("leftmost", "rightmost", "topmost", "bottommost", "largest", "smallest")
PART_OF = "of"
INSIDE = 0.9  # least share of a mask's area in the other's box
LARGER = 1.3  # least ratio of two areas
NEAR_DUPLICATE = 0.7  # IoU above which two masks show the same thing
TOUCH_GRID = 128  # cells a side: masks that share a cell touch


@dataclass(frozen=True)
class Geometry:
    """What queries ask of the N masks of an image.

    Attributes:
        centers: f64 [N, 2], x and y of the boxes' centres in longest image sides.
        areas: f64 [N], fractions of the image.
        relations: name -> bool [N, N], `[i, j]`: mask i is NAME mask j; `PART_OF`: i is a part of j, at any depth.
        duplicates: bool [N, N], pairs of near-duplicates, the diagonal included.
        overlaps: f64 [N, N], IoU of each pair.
        boxes: f64 [N, 4], xywh in longest image sides.
        frame: f64 [2], width and height of the picture in longest image sides.
    """

    centers: NDArray[np.float64]
    areas: NDArray[np.float64]
    relations: dict[str, Pairs]
    duplicates: Pairs
    overlaps: NDArray[np.float64]
    boxes: NDArray[np.float64]
    frame: NDArray[np.float64]


def measure(masks: PlainMasks, parents: NDArray[np.int64], margin: float) -> Geometry:
    """Measure the masks of an image.

    Args:
        parents: i64 [N], index of each mask's parent, -1 for none.
        margin: least distance of two centres, in longest image sides, for left of, right of, above, below.
    """
    height, width = masks.size
    boxes, side = masks.boxes(), max(height, width)
    centers = boxes[:, :2] + boxes[:, 2:] / 2  # in pixels, so exact halves: ties stay ties
    areas = masks.areas() / (height * width)
    overlaps = masks.iou(masks)
    duplicates = (overlaps > NEAR_DUPLICATE) | np.eye(len(masks), dtype=bool)
    relations = _directions(centers, margin * side) | {
        "inside": masks.containment(_rectangles(masks)) >= INSIDE,
        "overlapping": _touching(masks),
        "larger than": areas[:, None] >= LARGER * areas[None, :],
        PART_OF: _descendants(parents),
    }
    related = {name: pairs & ~duplicates for name, pairs in relations.items()}
    frame = np.array([width, height]) / side
    return Geometry(centers / side, areas, related, duplicates, overlaps, boxes / side, frame)


def extreme(name: str, geometry: Geometry, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The candidate (bool [N]) furthest in the superlative's sense, with its near-duplicates: bool [N]."""
    if not candidates.any():
        return candidates
    order = np.where(candidates, _rank(name, geometry), -np.inf)
    return candidates & geometry.duplicates[order.argmax()]


def lead(name: str, geometry: Geometry, candidates: NDArray[np.bool_]) -> float:
    """How far the extreme is ahead of the next candidate: in image sides, or as the log of the areas' ratio."""
    first = extreme(name, geometry, candidates)
    rest = candidates & ~first
    rank = _rank(name, geometry)
    return float(rank[first].min() - rank[rest].max()) if rest.any() and first.any() else np.inf


def _rank(name: str, geometry: Geometry) -> NDArray[np.float64]:
    x, y = geometry.centers.T
    size = np.log(np.maximum(geometry.areas, 1e-12))
    ranks = {"leftmost": -x, "rightmost": x, "topmost": -y, "bottommost": y, "largest": size, "smallest": -size}
    return ranks[name]


def _directions(centers: NDArray[np.float64], margin: float) -> dict[str, Pairs]:
    dx, dy = np.moveaxis(centers[None, :, :] - centers[:, None, :], -1, 0)  # from mask i to mask j
    across = np.abs(dx) >= np.abs(dy)
    return {
        "left of": (dx > margin) & across,
        "right of": (dx < -margin) & across,
        "above": (dy > margin) & ~across,
        "below": (dy < -margin) & ~across,
    }


def _rectangles(masks: PlainMasks) -> PlainMasks:
    """Each mask's box, filled."""
    height, width = masks.size
    runs = [_rectangle(height, width, *box.astype(int)) for box in masks.coco_boxes()]
    offsets = np.cumsum([0, *map(len, runs)], dtype=np.int64)
    return type(masks)(masks.size, np.concatenate([*runs, masks.counts[:0]]).astype(np.uint32), offsets)


def _rectangle(height: int, width: int, x: int, y: int, w: int, h: int) -> NDArray[np.int64]:
    """Column-major run lengths of a filled rectangle of w columns and h rows."""
    if w == 0 or h == 0:
        return np.array([height * width])
    if h == height:
        return np.array([x * height, w * height, (width - x - w) * height])
    runs = np.tile([h, height - h], w)
    return np.concatenate([[x * height + y], runs[:-1], [(width - x - w + 1) * height - y - h]])


def _touching(masks: PlainMasks) -> Pairs:
    """PlainMasks that overlap or meet: they share a cell of a fine grid."""
    cells = masks.coverage((TOUCH_GRID, TOUCH_GRID), Frame(None, False, TOUCH_GRID)) > 0
    flat = cells.reshape(len(masks), TOUCH_GRID**2).astype(np.float32)
    return flat @ flat.T > 0


def _descendants(parents: NDArray[np.int64]) -> Pairs:
    """Whether i lies below j in the tree of masks: bool [N, N]."""
    below = np.zeros((len(parents), len(parents)), bool)
    for i in range(len(parents)):
        above, steps = parents[i], 0
        while above >= 0 and steps < len(parents):
            below[i, above] = True
            above, steps = parents[above], steps + 1
    return below
