"""Neighbours, the closest, and what is between, against their definitions told pair by pair."""

from collections.abc import Callable

import numpy as np
import pytest

from ml.labeling.geometry.neighbours import (
    ABREAST,
    AMID,
    APART,
    ASIDE,
    DEEPER,
    FARTHER,
    GAP,
    NEIGHBOURS,
    beside,
    between,
    closest,
)
from ml.labeling.geometry.relations import Geometry, measure
from ml.masks import Masks

Make = Callable[..., Masks]
SEEDS = range(40)
SIZE = (97, 130)  # pixels: no distance is exactly as far as a least one


def geometry(masks: Masks, parents: list[int] | None = None) -> Geometry:
    return measure(masks, np.array(parents or [-1] * len(masks), np.int64), 0.08)


def crowd(seed: int, make: Make) -> Geometry:
    """Ten boxes of any size, none a near-duplicate of another."""
    rng = np.random.default_rng(seed)
    while True:
        boxes = [(*rng.integers(0, 72, 2).tolist(), *rng.integers(6, 25, 2).tolist()) for _ in range(10)]
        found = geometry(make(*boxes, size=SIZE))
        if not np.triu(found.duplicates, 1).any():
            return found


def shared(found: Geometry, i: int, j: int, axis: int) -> float:
    a, b = found.boxes[i], found.boxes[j]
    return min(a[axis] + a[axis + 2], b[axis] + b[axis + 2]) - max(a[axis], b[axis])


def gap(found: Geometry, i: int, j: int) -> float:
    return float(np.hypot(*(max(-shared(found, i, j, axis), 0.0) for axis in (0, 1))))


def next_to(found: Geometry, i: int, j: int, slack: float) -> bool:
    smaller = min(np.sqrt(found.boxes[k, 2] * found.boxes[k, 3]) for k in (i, j))
    near = gap(found, i, j) <= GAP * slack * smaller
    width, height = (min(found.boxes[i, axis], found.boxes[j, axis]) for axis in (2, 3))
    abreast = shared(found, i, j, 1) >= ABREAST * height and shared(found, i, j, 0) <= ABREAST / 2 * width
    return bool(near and (slack > 1 or abreast))


def behind(found: Geometry, i: int, j: int, slack: float) -> bool:
    foot, other = (found.boxes[k, 1] + found.boxes[k, 3] for k in (i, j))
    if slack > 1:
        return bool(gap(found, i, j) <= DEEPER and other > foot)
    touching = found.relations["overlapping"][i, j]
    return bool(touching and other - foot >= DEEPER and foot > found.centers[j, 1])


@pytest.mark.parametrize("slack", [1.0, 2.5])
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbours_are_those_of_the_pairs(name: str, slack: float, rectangles: Make) -> None:
    definitions = {"next to": next_to, "behind": behind, "in front of": lambda found, i, j, s: behind(found, j, i, s)}
    met = 0
    for seed in SEEDS:
        found = crowd(seed, rectangles)
        expected = [[i != j and definitions[name](found, i, j, slack) for j in range(10)] for i in range(10)]
        np.testing.assert_array_equal(beside(name, found, slack), expected)
        met += np.sum(expected)
    assert met > 20


def test_what_is_strictly_near_is_loosely_near(rectangles: Make) -> None:
    for seed in SEEDS:
        found = crowd(seed, rectangles)
        for name in NEIGHBOURS:
            assert (beside(name, found, 2.5) | ~beside(name, found)).all()


def test_a_part_is_no_neighbour_of_its_whole(rectangles: Make) -> None:
    found = geometry(rectangles((10, 10, 40, 40), (10, 30, 10, 10), (52, 10, 30, 40)), [-1, 0, -1])
    assert not any(beside(name, found, 2.5)[[0, 1], [1, 0]].any() for name in NEIGHBOURS)
    assert beside("next to", found)[[0, 2], [2, 0]].all()


def test_the_closest_is_clearly_so(rectangles: Make) -> None:
    met = 0
    for seed in SEEDS:
        found = crowd(seed, rectangles)
        candidates = np.random.default_rng(seed).random(10) < 0.5
        for anchor in range(10):
            among = [i for i in np.flatnonzero(candidates) if i != anchor]
            far = {i: np.hypot(*(found.centers[i] - found.centers[anchor])) for i in among}
            clear = [
                i
                for i in among
                if len(among) > 1
                and all(far[j] >= FARTHER * far[i] for j in among if j != i)
                and all(gap(found, j, anchor) >= gap(found, i, anchor) + DEEPER for j in among if j != i)
            ]
            assert np.flatnonzero(closest(found, candidates, anchor)).tolist() == clear
            met += len(clear)
    assert met > 20


@pytest.mark.parametrize("slack", [1.0, 2.5])
def test_between_is_near_the_line_and_away_from_its_ends(slack: float, rectangles: Make) -> None:
    met = 0
    for seed in SEEDS:
        found = crowd(seed, rectangles)
        for a, b in ((0, 1), (2, 3), (4, 5)):
            start, end = found.centers[a], found.centers[b]
            length = np.hypot(*(end - start))
            expected = []
            for i, point in enumerate(found.centers):
                steps = (point - start) @ (end - start) / length**2 if length else 0.0
                foot = start + steps * (end - start)
                near = np.hypot(*(point - foot)) <= ASIDE * slack * length
                amid = AMID / slack <= steps <= 1 - AMID / slack
                expected.append(i not in (a, b) and length >= APART and bool(near and amid))
            assert between(found, a, b, slack).tolist() == expected
            met += sum(expected)
    assert met > 10


def test_no_masks(rectangles: Make) -> None:
    found = geometry(Masks.parse([], (10, 10)))
    assert all(beside(name, found).shape == (0, 0) for name in NEIGHBOURS)
