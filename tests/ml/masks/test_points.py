"""Points in masks against the dense masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml.masks import Masks

DENSE = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=10))


@given(DENSE, st.lists(st.tuples(st.floats(-2, 12), st.floats(-2, 12)), max_size=8))
def test_a_point_is_looked_up_in_the_pixel_that_holds_it(dense: np.ndarray, xy: list[tuple[float, float]]) -> None:
    height, width = dense.shape[1:]
    found = Masks.from_dense(dense).at(np.array(xy).reshape(-1, 2))
    assert found.shape == (len(dense), len(xy))
    for k, (x, y) in enumerate(xy):
        inside = 0 <= x < width and 0 <= y < height
        assert found[:, k].tolist() == (dense[:, int(y), int(x)] if inside else np.zeros(len(dense), bool)).tolist()


@given(DENSE, st.integers(0, 2**32))
def test_drawn_points_lie_in_their_masks(dense: np.ndarray, seed: int) -> None:
    dense = dense[dense.any((1, 2))]
    drawn = Masks.from_dense(dense).sample(5, np.random.default_rng(seed)) if len(dense) else np.empty((0, 5, 2))
    for mask, points in zip(dense, drawn, strict=True):
        assert all(mask[int(y), int(x)] and (x % 1, y % 1) == (0.5, 0.5) for x, y in points)


def test_every_pixel_of_a_mask_is_drawn_as_often() -> None:
    dense = np.zeros((2, 4, 5), bool)
    dense[0, 1:3, 2:4], dense[1, 0, 0] = True, True
    drawn = Masks.from_dense(dense).sample(4000, np.random.default_rng(0))
    _, counts = np.unique(drawn[0], axis=0, return_counts=True)
    assert (len(counts), counts.min() > 850) == (4, True)
    assert np.array_equal(drawn[1], np.full((4000, 2), 0.5))


def test_the_same_seed_draws_the_same_points() -> None:
    masks = Masks.from_dense(np.ones((2, 6, 7), bool))
    first, second = (masks.sample(9, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)


def test_an_empty_mask_has_no_points() -> None:
    with pytest.raises(ValueError, match="mask 1 is empty"):
        Masks.from_dense(np.stack([np.ones((2, 2), bool), np.zeros((2, 2), bool)])).sample(1, np.random.default_rng(0))
