from collections.abc import Callable

import cv2
import numpy as np
import pytest

from ml.labeling.geometry.relations import LARGER, PART_OF, RELATIONS, Geometry, extreme, lead, measure
from ml.masks import Masks

NO_PARENTS = np.full(50, -1, np.int64)


def geometry(masks: Masks, margin: float = 0.08) -> Geometry:
    return measure(masks, NO_PARENTS[: len(masks)], margin)


def random_masks(seed: int, size: tuple[int, int]) -> tuple[np.ndarray, Masks]:
    """Ellipses, most of them cut by the image's edge or by each other."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((12, *size), np.uint8)
    for mask in dense:
        center = rng.integers(0, size[1]), rng.integers(0, size[0])
        cv2.ellipse(mask, center, tuple(rng.integers(2, 40, 2)), float(rng.integers(180)), 0, 360, 1, -1)
    dense = dense[dense.any((1, 2))].astype(bool)
    return dense, Masks.from_dense(dense)


def brute(dense: np.ndarray, margin: float) -> dict[str, np.ndarray]:
    """The relations, pair by pair on pixels, from their definitions."""
    n, least = len(dense), margin * max(dense.shape[1:])
    found = {name: np.zeros((n, n), bool) for name in RELATIONS}
    boxes = [(x.min(), y.min(), x.max(), y.max()) for y, x in (np.nonzero(mask) for mask in dense)]
    for i in range(n):
        for j in range(n):
            if i == j or (dense[i] & dense[j]).sum() / (dense[i] | dense[j]).sum() > 0.7:
                continue
            a, b = boxes[i], boxes[j]
            dx = (b[0] + b[2] - a[0] - a[2]) / 2
            dy = (b[1] + b[3] - a[1] - a[3]) / 2
            found["left of"][i, j] = dx > least and abs(dx) >= abs(dy)
            found["right of"][i, j] = -dx > least and abs(dx) >= abs(dy)
            found["above"][i, j] = dy > least and abs(dy) > abs(dx)
            found["below"][i, j] = -dy > least and abs(dy) > abs(dx)
            held = dense[i][b[1] : b[3] + 1, b[0] : b[2] + 1].sum()
            found["inside"][i, j] = held / dense[i].sum() >= 0.9
            found["larger than"][i, j] = dense[i].sum() >= LARGER * dense[j].sum()
    return found


@pytest.mark.parametrize("size", [(120, 90), (64, 64), (50, 160)])
@pytest.mark.parametrize("seed", range(4))
def test_relations_are_those_of_the_pixels(seed: int, size: tuple[int, int]) -> None:
    dense, masks = random_masks(seed, size)
    ours = geometry(masks).relations
    for name, pairs in brute(dense, 0.08).items():
        if name != "overlapping":
            np.testing.assert_array_equal(ours[name], pairs, err_msg=name)


def test_overlapping_is_to_touch(rectangles: Callable[..., Masks]) -> None:
    masks = rectangles((10, 10, 20, 20), (30, 10, 20, 20), (60, 10, 20, 20), (25, 25, 10, 10))
    touching = geometry(masks).relations["overlapping"]
    expected = np.array([[0, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]], bool)
    np.testing.assert_array_equal(touching, expected)


@pytest.mark.parametrize("seed", range(3))
def test_opposites(seed: int) -> None:
    _, masks = random_masks(seed, (100, 100))
    found = geometry(masks).relations
    for name, opposite in (("left of", "right of"), ("above", "below"), ("overlapping", "overlapping")):
        np.testing.assert_array_equal(found[name], found[opposite].T)
    assert not any(pairs.diagonal().any() for pairs in found.values())
    assert not (found["left of"] & found["above"]).any()


def test_near_duplicates_are_not_related(rectangles: Callable[..., Masks]) -> None:
    found = geometry(rectangles((10, 10, 40, 40), (11, 10, 40, 40), (70, 10, 20, 20)))
    np.testing.assert_array_equal(found.duplicates, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert not any(pairs[0, 1] or pairs[1, 0] for pairs in found.relations.values())


def test_a_part_of_a_part_is_a_part(rectangles: Callable[..., Masks]) -> None:
    masks = rectangles((0, 0, 90, 90), (10, 10, 50, 50), (20, 20, 10, 10))
    parts = measure(masks, np.array([-1, 0, 1]), 0.08).relations[PART_OF]
    np.testing.assert_array_equal(parts, [[0, 0, 0], [1, 0, 0], [1, 1, 0]])


def test_extremes_with_their_duplicates(rectangles: Callable[..., Masks]) -> None:
    found = geometry(rectangles((5, 50, 20, 20), (6, 50, 20, 20), (40, 10, 30, 30), (80, 80, 10, 10)))
    everything = np.ones(4, bool)
    chosen = {name: extreme(name, found, everything).tolist() for name in ("leftmost", "topmost", "smallest")}
    assert chosen == {
        "leftmost": [True, True, False, False],
        "topmost": [False, False, True, False],
        "smallest": [False, False, False, True],
    }
    assert extreme("leftmost", found, np.array([False, False, True, True])).tolist() == [False, False, True, False]
    assert not extreme("leftmost", found, np.zeros(4, bool)).any()


def test_lead(rectangles: Callable[..., Masks]) -> None:
    found = geometry(rectangles((0, 0, 11, 11), (30, 0, 11, 11)))
    assert lead("leftmost", found, np.ones(2, bool)) == pytest.approx(0.3)
    assert lead("leftmost", found, np.array([True, False])) == np.inf


def test_no_masks() -> None:
    found = geometry(Masks.parse([], (10, 10)))
    assert all(pairs.shape == (0, 0) for pairs in found.relations.values())
