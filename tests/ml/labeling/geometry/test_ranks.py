"""Ranks among several, against their definitions told thing by thing."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from ml.labeling.geometry.ranks import CENTRAL, CORNERS, DEPTHS, ORDINALS, RANKS, ROW, STEP, ranked, several
from ml.labeling.geometry.relations import LARGER, Geometry, measure
from ml.masks import Masks

Make = Callable[..., Masks]
Box = tuple[int, int, int, int]
SIZE = (97, 130)  # pixels: no distance of middles is exactly as far as a step
MIDDLE, SIDE = (65.0, 48.5), 130
FAR_SIDES = {"left": (0, False), "right": (0, True), "top": (1, False), "bottom": (1, True)}


def geometry(masks: Masks, parents: list[int] | None = None) -> Geometry:
    return measure(masks, np.array(parents or [-1] * len(masks), np.int64), 0.08)


def scattered(seed: int) -> list[Box]:
    """Three to five boxes anywhere, or in something like a row."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(3, 70)) if seed % 2 else None
    return [
        (
            int(rng.integers(105)),
            rows + int(rng.integers(6)) if rows else int(rng.integers(77)),
            *rng.integers(4, 20, 2).tolist(),
        )
        for _ in range(rng.integers(3, 6))
    ]


def brute(name: str, boxes: list[Box]) -> int | None:
    """The one with the rank, from pairs of things."""
    n, middles = len(boxes), [(x + (w - 1) / 2, y + (h - 1) / 2) for x, y, w, h in boxes]

    def order(side: str) -> list[int]:
        axis, falling = FAR_SIDES[side]
        return sorted(range(n), key=lambda i: middles[i][axis], reverse=falling)

    def apart(side: str, pairs: list[tuple[int, int]]) -> bool:
        axis = FAR_SIDES[side][0]
        return all(abs(middles[a][axis] - middles[b][axis]) >= STEP * SIDE for a, b in pairs)

    if name in ORDINALS:
        nth, side = {"second": 1, "third": 2}[name.split()[0]], name.split()[-1]
        clear = apart(side, list(combinations(range(n), 2)))
        return order(side)[nth] if clear and nth < n - 1 else None
    if name in CORNERS:
        firsts = {order(side)[0] for side in name.split()}
        if len(firsts) > 1:
            return None
        (first,) = firsts
        for side in name.split():
            axis, falling = FAR_SIDES[side]
            if (middles[first][axis] < MIDDLE[axis]) == falling or middles[first][axis] == MIDDLE[axis]:
                return None
            if not apart(side, [(first, other) for other in range(n) if other != first]):
                return None
        return first
    if name in DEPTHS:
        sign = DEPTHS[name]
        for i in range(n):
            others = [j for j in range(n) if j != i]
            lower = [sign * (sum(boxes[i][1::2]) - sum(boxes[j][1::2])) >= STEP * SIDE for j in others]
            areas = [boxes[k][2] * boxes[k][3] for k in range(n)]
            ratios = [(areas[i] / areas[j]) ** sign >= LARGER - 1e-9 for j in others]
            if all(lower) and all(ratios):
                return i
        return None
    far = [np.hypot(x - MIDDLE[0], y - MIDDLE[1]) for x, y in middles]
    first, second = sorted(range(n), key=far.__getitem__)[:2]
    spread = [max(m[axis] for m in middles) - min(m[axis] for m in middles) for axis in (0, 1)]
    side = "left" if spread[0] >= spread[1] else "top"
    if n % 2 and min(spread) <= ROW * max(spread) and apart(side, list(combinations(range(n), 2))):
        return first if order(side)[n // 2] == first else None
    return first if far[first] <= CENTRAL * SIDE and far[second] - far[first] >= CENTRAL * SIDE else None


@pytest.mark.parametrize("name", RANKS)
def test_ranks_are_those_of_the_pairs(name: str, rectangles: Make) -> None:
    named = 0
    for seed in range(300):
        boxes = scattered(seed)
        found = geometry(rectangles(*boxes, size=SIZE))
        if np.triu(found.duplicates, 1).any():
            continue
        expected = brute(name, boxes)
        chosen = np.flatnonzero(ranked(name, found, np.ones(len(boxes), bool))).tolist()
        assert chosen == ([] if expected is None else [expected]), (seed, boxes)
        named += expected is not None
    assert named  # a test of nothing but absence holds little


def test_a_row(rectangles: Make) -> None:
    found = geometry(rectangles(*((10 + 20 * i, 50, 10, 10) for i in range(4))))
    everything = np.ones(4, bool)
    chosen = {name: np.flatnonzero(ranked(name, found, everything)).tolist() for name in RANKS}
    assert {name: where[0] for name, where in chosen.items() if where} == {
        "second from left": 1,
        "third from left": 2,
        "second from right": 2,
        "third from right": 1,
    }


def test_near_duplicates_count_once_and_parts_not_at_all(rectangles: Make) -> None:
    boxes = (5, 50, 12, 12), (40, 50, 12, 12), (41, 50, 12, 12), (80, 50, 12, 12), (80, 50, 5, 5)
    found = geometry(rectangles(*boxes), [-1, -1, -1, -1, 3])
    everything = np.ones(5, bool)
    assert several(found, everything).tolist() == [0, 1, 3]
    assert ranked("second from left", found, everything).tolist() == [False, True, True, False, False]
    assert several(found, np.array([False, False, True, False, True])).tolist() == [2, 4]


@pytest.mark.parametrize("name", RANKS)
def test_none_or_one_has_no_rank(name: str, rectangles: Make) -> None:
    found = geometry(rectangles((45, 45, 10, 10), (5, 5, 10, 10)))
    assert not ranked(name, found, np.array([True, False])).any()
    assert not ranked(name, found, np.zeros(2, bool)).any()
    assert ranked(name, geometry(Masks.parse([], (10, 10))), np.zeros(0, bool)).shape == (0,)
