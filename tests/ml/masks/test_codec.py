"""The codec against pycocotools, and against text that must be refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from ml.masks import MaskError, Masks, validate
from ml.masks.codec import REASONS

DENSE = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=12))


def strings(dense: np.ndarray) -> list[str]:
    return [coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode() for mask in dense]


@given(DENSE)
def test_strings_are_those_of_pycocotools(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    assert masks.to_strings() == strings(dense)


@given(DENSE)
def test_parse_inverts_to_strings(dense: np.ndarray) -> None:
    size = dense.shape[1:]
    masks = Masks.parse(strings(dense), size)
    assert all(np.array_equal(masks.dense(i), dense[i]) for i in range(len(dense)))
    assert masks.to_strings() == strings(dense)


@given(st.lists(st.integers(0, 2**26), min_size=1, max_size=20))
def test_run_lengths_of_any_size_survive(runs: list[int]) -> None:
    height = sum(runs) or 1
    runs = runs if sum(runs) else [1]
    text = coco.frPyObjects({"counts": runs, "size": [height, 1]}, height, 1)["counts"].decode()
    masks = Masks.parse([text], [height, 1])
    assert masks.counts.tolist() == runs
    assert masks.to_strings() == [text]


def test_largest_image_survives() -> None:
    masks = Masks((2**32 - 1, 1), np.array([0, 2**32 - 1], np.uint32), np.array([0, 2]))
    assert Masks.parse(masks.to_strings(), masks.size).areas().tolist() == [2**32 - 1]


def test_dense_keeps_the_image_orientation() -> None:
    dense = np.zeros((1, 2, 3), bool)
    dense[0, 1, 0] = True
    masks = Masks.from_dense(dense)
    assert masks.counts.tolist() == [1, 1, 4]


WHOLE = strings(np.ones((1, 4, 4), bool))[0]


@pytest.mark.parametrize(
    ("counts", "size", "reason"),
    [
        (None, [4, 4], "counts is not a string"),
        ([0, 16], [4, 4], "counts is not a string"),
        (b"0`0", [4, 4], "counts is not a string"),
        ("0é", [4, 4], "counts is not ASCII"),
        ("", [4, 4], "the run lengths do not sum to height x width"),
        (WHOLE, [4, 5], "the run lengths do not sum to height x width"),
        (WHOLE, [4, 3], "a run length larger than the image"),
        ("5" * 9, [4, 4], "the run lengths do not sum to height x width"),
        ("0 ", [4, 4], "a byte outside the alphabet of COCO's compressed counts"),
        ("0p", [4, 4], "a byte outside the alphabet of COCO's compressed counts"),
        (WHOLE[:-1], [4, 4], "the string is cut in the middle of a number"),
        ("O", [4, 4], "a negative run length"),
        ("o" * 40 + "0", [4, 4], "a run length of more than 35 bits"),
        ("oooooo0", [4, 4], "a run length larger than the image"),
        (WHOLE, [4], "size is not [height, width] in integers"),
        (WHOLE, [4.0, 4], "size is not [height, width] in integers"),
        (WHOLE, [True, 16], "size is not [height, width] in integers"),
        (WHOLE, None, "size is not [height, width] in integers"),
        (WHOLE, [-4, -4], "size -4 x -4 is not between 1 and 4294967295 pixels"),
        (WHOLE, [200000, 200000], "size 200000 x 200000 is not between 1 and 4294967295 pixels"),
    ],
)
def test_malformed_is_refused_with_its_reason(counts: object, size: object, reason: str) -> None:
    with pytest.raises(MaskError) as error:
        validate(counts, size)  # type: ignore[arg-type]
    assert error.value.reason == reason


def test_sift_keeps_the_valid_ones_in_order() -> None:
    left, right = strings(np.stack([np.eye(4, dtype=bool), np.ones((4, 4), bool)]))
    masks, reasons = Masks.sift([left, "0p", right, 7], [4, 4])
    assert masks.to_strings() == [left, right]
    assert [bool(reason) for reason in reasons] == [False, True, False, True]


def test_error_names_the_first_bad_string() -> None:
    with pytest.raises(MaskError) as error:
        Masks.parse([WHOLE, WHOLE, ""], [4, 4])
    assert error.value.index == 2


@given(st.binary(max_size=40), st.integers(1, 50), st.integers(1, 50))
def test_any_bytes_are_refused_or_describe_a_mask(data: bytes, height: int, width: int) -> None:
    text = data.decode("latin-1")
    masks, (reason,) = Masks.sift([text], [height, width])
    assert reason in {*REASONS, "counts is not ASCII"}
    assert len(masks) == (not reason)
    assert len(masks) == 0 or masks.counts.sum() == height * width
