"""Areas, boxes, intersections, unions against pycocotools and brute force."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from ml.masks import Masks

SAMPLE = Path(__file__).resolve().parents[4] / "shared/samples/sa1b/sa_1.json"
DENSE = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=12))


def encode(dense: np.ndarray) -> list[dict]:
    return [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in dense]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.tuples(st.integers(1, 10), st.integers(1, 10)))
    n, m = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return draw(hnp.arrays(bool, (n, *size))), draw(hnp.arrays(bool, (m, *size)))


@given(DENSE)
def test_areas(dense: np.ndarray) -> None:
    assert Masks.from_dense(dense).areas().tolist() == dense.sum((1, 2)).tolist()


@given(DENSE)
def test_coco_boxes_are_those_of_pycocotools(dense: np.ndarray) -> None:
    assert Masks.from_dense(dense).coco_boxes().tolist() == coco.toBbox(encode(dense)).tolist()


@given(DENSE)
def test_boxes_are_one_smaller_than_pycocotools(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    one = np.array([0, 0, 1, 1]) * dense.any((1, 2))[:, None]
    assert np.array_equal(masks.boxes(), masks.coco_boxes() - one)


@given(pairs())
def test_iou_and_intersection(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    first, second = Masks.from_dense(a), Masks.from_dense(b)
    common = (a[:, None] & b[None]).sum((2, 3))
    assert np.array_equal(first.intersection(second), common)
    expected = coco.iou(encode(a), encode(b), [False] * len(b))
    either = (a[:, None] | b[None]).any((2, 3))
    assert np.array_equal(first.iou(second), np.where(either, expected, 0))


@given(DENSE)
def test_containment_in_itself(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    common = (dense[:, None] & dense[None]).sum((2, 3))
    area = np.maximum(dense.sum((1, 2)), 1)[:, None]
    assert np.array_equal(masks.containment(masks), common / area)


@given(DENSE)
def test_union(dense: np.ndarray) -> None:
    union = Masks.from_dense(dense).union()
    assert len(union) == 1
    assert union.to_strings() == Masks.from_dense(dense.any(0, keepdims=True)).to_strings()


@given(DENSE, st.data())
def test_select(dense: np.ndarray, data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(dense) - 1), max_size=6))
    chosen = Masks.from_dense(dense).select(indices)
    assert chosen.to_strings() == [Masks.from_dense(dense).to_strings()[i] for i in indices]


def test_select_by_truth_values() -> None:
    dense = np.stack([np.eye(3, dtype=bool), np.ones((3, 3), bool)])
    assert Masks.from_dense(dense).select(np.array([False, True])).areas().tolist() == [9]


def test_zero_runs_inside_change_nothing() -> None:
    """COCO allows them; pycocotools writes none."""
    split = Masks((4, 4), np.array([2, 3, 0, 4, 7, 0], np.uint32), np.array([0, 6]))
    whole = Masks((4, 4), np.array([2, 7, 7], np.uint32), np.array([0, 3]))
    assert np.array_equal(split.dense(0), whole.dense(0))
    assert np.array_equal(split.boxes(), whole.boxes())
    assert split.intersection(whole).tolist() == [[7]]
    assert split.union().to_strings() == whole.to_strings()


def test_no_masks() -> None:
    none = Masks.parse([], [5, 7])
    assert none.areas().shape == (0,)
    assert none.iou(none).shape == (0, 0)
    assert none.boxes().shape == (0, 4)
    assert none.union().areas().tolist() == [0]


def test_other_size_is_refused() -> None:
    with pytest.raises(ValueError, match="do not share pixels"):
        Masks.from_dense(np.ones((1, 2, 3), bool)).iou(Masks.from_dense(np.ones((1, 3, 2), bool)))


def test_real_masks() -> None:
    if not SAMPLE.exists():
        pytest.skip("the SA-1B sample files are not here")
    annotations = json.loads(SAMPLE.read_text())["annotations"]
    rles = [annotation["segmentation"] for annotation in annotations]
    masks = Masks.parse([rle["counts"] for rle in rles], rles[0]["size"])
    assert masks.areas().tolist() == [annotation["area"] for annotation in annotations]
    assert masks.boxes().tolist() == [annotation["bbox"] for annotation in annotations]
    assert np.array_equal(masks.iou(masks), coco.iou(rles, rles, [0] * len(rles)))
    assert masks.union().to_strings() == [coco.merge(rles)["counts"].decode()]
