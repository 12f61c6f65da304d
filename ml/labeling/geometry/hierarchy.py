"""The level (part, object, group, scene) and the parent of each mask of an image."""

import numpy as np

from ml.masks import PlainMasks
from ml.params import Filter

LEVELS = ("part", "object", "group", "scene")
BORDER = 0.01  # a box this close to the image's edge, in image sides, touches it
SCENE_AREA = 0.5  # of the image; SA-1B's largest single things stay below
GROUP_COVER = 0.65  # of a group's area lies in its members; parts of an object cover less or differ in size
MEMBER_RATIO = 1.7  # between the areas, the widths and the heights of a group's members


def assign(masks: PlainMasks, params: Filter) -> tuple[list[str], np.ndarray]:
    """Levels and parents of one image's masks.

    By containment, a scene spans the image (background), a group is made up of members of like size, a part lies in
    an object; all else is an object. By area_quartiles the smallest quarter are parts, and so on.

    Returns:
        levels: one of LEVELS for each mask.
        parents: int64 [n], the index of the smallest larger mask that contains it; -1: none.
    """
    parents = find_parents(masks, params.containment)
    if params.hierarchy == "area_quartiles":
        return area_quartiles(masks.areas()), parents
    return by_containment(masks, parents), parents


def find_parents(masks: PlainMasks, containment: float) -> np.ndarray:
    """The smallest larger mask that holds at least `containment` of each mask: int64 [n]; -1: none."""
    areas = masks.areas()
    contains = (masks.containment(masks) >= containment) & (areas[None, :] > areas[:, None])
    candidates = np.where(contains, areas[None, :].astype(np.float64), np.inf)
    nearest = candidates.argmin(axis=1) if len(areas) else np.empty(0, np.int64)
    return np.where(contains.any(axis=1), nearest, -1).astype(np.int64)


def area_quartiles(areas: np.ndarray) -> list[str]:
    """Levels by the quarter that a mask's area falls in."""
    ranks = np.empty(len(areas), np.int64)
    ranks[np.argsort(areas, kind="stable")] = np.arange(len(areas))
    return [LEVELS[4 * rank // len(areas)] for rank in ranks]


def by_containment(masks: PlainMasks, parents: np.ndarray) -> list[str]:
    """Levels from what contains what, the largest masks first, since a level depends on the parent's."""
    areas, boxes = masks.areas(), masks.boxes()
    spans = spans_image(masks)
    levels = ["object"] * len(masks)
    by_parent = np.argsort(parents, kind="stable")
    ends = np.searchsorted(parents[by_parent], np.arange(-1, len(masks)), side="right")
    for i in np.argsort(-areas, kind="stable").tolist():
        above = levels[parents[i]] if parents[i] >= 0 else "scene"
        members = by_parent[ends[i] : ends[i + 1]]
        if above in ("object", "part"):
            levels[i] = "part"
        elif len(members) > 1 and is_group(areas[i], areas[members], boxes[members]):
            levels[i] = "group"
        elif above == "scene" and spans[i]:
            levels[i] = "scene"
    return levels


def spans_image(masks: PlainMasks) -> np.ndarray:
    """Whether each mask is background: touches left and right or three edges, or half of the image: bool [n]."""
    height, width = masks.size
    x, y, w, h = masks.boxes().T
    left, right = x <= BORDER * width, x + w >= width - 1 - BORDER * width
    top, bottom = y <= BORDER * height, y + h >= height - 1 - BORDER * height
    touched = np.stack([left, right, top, bottom]).sum(axis=0)
    return (left & right) | (touched >= 3) | (masks.areas() >= SCENE_AREA * height * width)


def is_group(area: int, areas: np.ndarray, boxes: np.ndarray) -> bool:
    """Whether at least two children of like area and shape make up most of a mask.

    Args:
        area: the mask's pixels.
        areas: [k] its children's pixels.
        boxes: [k, 4] its children's boxes, xywh.
    """
    if len(areas) < 2:
        return False
    sizes = np.stack([areas, boxes[:, 2] + 1, boxes[:, 3] + 1], axis=1)
    alike = (sizes[areas.argmax()] <= MEMBER_RATIO * sizes) & (sizes <= MEMBER_RATIO * sizes[areas.argmax()])
    members = areas[alike.all(axis=1)]
    return len(members) >= 2 and members.sum() >= GROUP_COVER * area
