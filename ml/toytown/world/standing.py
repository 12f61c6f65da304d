"""Who of the town stands where people say: judged by the true scene, its depth by who was drawn before whom.

Loose meanings add what a person might also point at.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ml.toytown.world.draw import Drawing
from ml.toytown.world.scene import SIDE

CLOSE = 0.06 * SIDE  # pixels, less than which tell no order
NEXT = 0.75  # most gap between neighbours, in sides of the smaller one
AROUND = 1.3  # times as far as the closest, which is close as well
ENDS = {"left": (0, 1), "right": (0, -1), "top": (1, 1), "bottom": (1, -1)}
DEPTHS = {"nearest": -1, "farthest": 1}

Ids = tuple[int, ...]


class Town(Protocol):
    """What is asked of a drawing's reader: middles of boxes [nodes, 2], and which objects touch [nodes, nodes]."""

    drawing: Drawing
    centres: np.ndarray

    @property
    def touching(self) -> np.ndarray:
        """Whether masks of two objects touch: bool [nodes, nodes]."""


def standing(place: str, town: Town, among: Ids, anchors: Sequence[Ids], loose: bool) -> Ids:
    """Those among some nodes that stand in a place, told against anchors where it needs them."""
    if place == "between":
        return _between(town, among, [i for ids in anchors for i in ids], loose)
    if anchors:
        others = [(a, [b for b in anchors[0] if b != a]) for a in among]
        if place == "closest to":
            return _least(
                [a for a, bs in others if bs], [_distance(town, a, bs) for a, bs in others if bs], AROUND, loose
            )
        return tuple(a for a, bs in others if any(_beside(place, town, a, b, loose) for b in bs))
    if len(among) < 2:
        return among if place in DEPTHS else ()
    return _ranked(place, town, among, loose)


def _ranked(place: str, town: Town, among: Ids, loose: bool) -> Ids:
    nth, _, side = place.partition(" from ")
    if side:
        return _nth({"second": 1, "third": 2}[nth], _along(town, among, side), among, loose)
    if place == "middle":
        return _middle(town, among, loose)
    if place in DEPTHS:
        values = np.array([DEPTHS[place] * foot(town, i) for i in among])
    else:
        values = sum((_along(town, among, side) for side in place.split()), np.zeros(len(among)))
    return tuple(i for i, value in zip(among, values, strict=True) if value <= values.min() + CLOSE * loose)


def foot(town: Town, node: int) -> float:
    """The y of the ground that a thing stands on, in pixels; of what is no thing, its lower edge."""
    scene = town.drawing.scene
    known = dict(zip(scene.thing_nodes, scene.things, strict=True))
    return known[node].y if node in known else float(town.drawing.boxes[node, 3])


def _along(town: Town, among: Ids, side: str) -> np.ndarray:
    axis, direction = ENDS[side]
    return direction * town.centres[list(among), axis]


def _nth(nth: int, values: np.ndarray, among: Ids, loose: bool) -> Ids:
    if nth >= len(among):
        return ()
    met = np.sort(values)[nth]
    return tuple(i for i, value in zip(among, values, strict=True) if abs(value - met) <= CLOSE * loose)


def _middle(town: Town, among: Ids, loose: bool) -> Ids:
    """The middle one of an odd row, else the one in the picture's middle; loosely both."""
    centres = town.centres[list(among)]
    central = among[int(np.hypot(*(centres - SIDE / 2).T).argmin())]
    spread = np.ptp(centres, axis=0)
    if len(among) % 2 == 0 or spread.max() < 2 * spread.min():
        return (central,)
    halfway = among[int(np.argsort(centres[:, int(spread.argmax())])[len(among) // 2])]
    return tuple(i for i in among if i == halfway or (loose and i == central))


def _least(among: Sequence[int], values: Sequence[float], factor: float, loose: bool) -> Ids:
    least = min(values, default=0.0) * (factor if loose else 1)
    return tuple(i for i, value in zip(among, values, strict=True) if value <= least)


def _distance(town: Town, a: int, others: Sequence[int]) -> float:
    """Pixels between the middles of a node and of the nearest of others."""
    return min(float(np.hypot(*(town.centres[a] - town.centres[b]))) for b in others)


def _beside(place: str, town: Town, a: int, b: int, loose: bool) -> bool:
    boxes = town.drawing.boxes
    gap = np.hypot(*np.maximum(np.maximum(boxes[a, :2] - boxes[b, 2:], boxes[b, :2] - boxes[a, 2:]), 0))
    if place == "next to":
        smaller = np.sqrt(min((boxes[i, 2:] - boxes[i, :2]).prod() for i in (a, b)))
        return bool(gap <= NEXT * smaller * (2 if loose else 1))
    deeper = (foot(town, b) - foot(town, a)) * (1 if place == "behind" else -1)
    return bool(deeper > 0 and (town.touching[a, b] or (loose and gap <= CLOSE)))


def _between(town: Town, among: Ids, ends: Sequence[int], loose: bool) -> Ids:
    """Those whose middles lie near the line between two others' middles."""
    if len(ends) != 2:
        return ()
    start, line = town.centres[ends[0]], town.centres[ends[1]] - town.centres[ends[0]]
    length = max(float(np.hypot(*line)), 1.0)
    steps = [(i, *(np.array([line, (-line[1], line[0])]) @ (town.centres[i] - start) / length**2)) for i in among]
    slack = 0.15 * loose
    return tuple(
        i for i, along, off in steps if i not in ends and abs(along - 0.5) <= 0.35 + slack and abs(off) <= 0.3 + slack
    )
