"""Polygons against pycocotools, bit for bit, and outlines that must be refused."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from ml.masks import MaskError, Masks

CORNER = st.floats(-30, 60, allow_nan=False).map(lambda value: round(value, 2)) | st.integers(-5, 40)
OUTLINE = st.lists(st.tuples(CORNER, CORNER), min_size=3, max_size=8).map(lambda xy: [v for pair in xy for v in pair])


@settings(max_examples=400)
@given(OUTLINE, st.integers(1, 40), st.integers(1, 40))
@example([0, 0, 0, 0, 0, 0], 4, 4)
@example([1, 1, 1, 3, 3, 3, 3, 1, 1, 1], 5, 5)
def test_an_outline_is_rasterised_as_by_pycocotools(outline: list[float], height: int, width: int) -> None:
    expected = coco.frPyObjects([outline], height, width)[0]["counts"].decode()
    assert Masks.from_polygons([[outline]], (height, width)).to_strings() == [expected]


@given(st.lists(st.lists(OUTLINE, min_size=1, max_size=3), max_size=3), st.integers(1, 30), st.integers(1, 30))
def test_the_outlines_of_a_shape_become_one_mask(shapes: list[list[list[float]]], height: int, width: int) -> None:
    masks = Masks.from_polygons(shapes, (height, width))
    expected = [coco.decode(coco.merge(coco.frPyObjects(shape, height, width))) for shape in shapes]
    assert len(masks) == len(shapes)
    assert all(np.array_equal(masks.dense(i), dense) for i, dense in enumerate(expected))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ([], "not a list of outlines"),
        ({"counts": "04"}, "not a list of outlines"),
        ([7], "an outline is not three or more x, y pairs"),
        ([[0, 0, 4, 4]], "an outline is not three or more x, y pairs"),
        ([[0, 0, 4, 4, 0, 4, 1]], "an outline is not three or more x, y pairs"),
        ([[0, 0, 4, 4, 0, "4"]], "a corner that is not two numbers within 131072 pixels"),
        ([[0, 0, 4, 4, 0, float("nan")]], "a corner that is not two numbers within 131072 pixels"),
        ([[0, 0, 4, 4, 0, 1e12]], "a corner that is not two numbers within 131072 pixels"),
    ],
)
def test_a_malformed_shape_is_refused_with_its_reason(shape: object, reason: str) -> None:
    good = [[0, 0, 4, 0, 4, 4]]
    with pytest.raises(MaskError) as error:
        Masks.from_polygons([good, shape], (8, 8))  # type: ignore[list-item]
    assert (error.value.index, error.value.reason) == (1, reason)


def test_far_corners_cost_no_memory() -> None:
    far = [-1e5, -1e5, 1e5, -1e5, 1e5, 1e5, -1e5, 1e5]
    assert Masks.from_polygons([[far]], (4, 6)).areas().tolist() == [24]
