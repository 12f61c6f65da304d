"""Strings inside JSON against the codec and the algebra, which read them on their own."""

import json
import random

import numpy as np
import pytest

from ml.masks import Masks
from ml.sa1b.shards.runs import GAVE_UP, MOST_PIXELS, decode, measure


def read(text: str, height: int, width: int) -> tuple[int, list[int], str]:
    """Area (GAVE_UP: not valid), box and the unescaped text."""
    raw = np.frombuffer(b"\0" + json.dumps(text).encode() + b"\0", np.uint8)
    ends, out, box = np.empty(len(raw), np.int32), np.empty(len(raw), np.uint8), np.zeros(4, np.int64)
    at, runs, filled = decode(raw, np.uint64(2), ends, out, 0)
    area = measure(ends[: int(runs)], height, height * width, box) if raw[int(at)] == ord('"') else GAVE_UP
    return int(area), box.tolist(), out[:filled].tobytes().decode()


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (48, 200), (1, 90), (90, 1), (700, 900)])
def test_area_and_box(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    dense = [np.zeros(size, bool), np.ones(size, bool), *(rng.random((4, *size)) < 0.3)]
    for _ in range(20):
        y, x = (np.sort(rng.integers(0, side + 1, 2)) for side in size)
        dense.append(np.zeros(size, bool))
        dense[-1][y[0] : y[1], x[0] : x[1]] = True
    masks = Masks.from_dense(np.array(dense))
    for text, area, box in zip(masks.to_strings(), masks.areas(), masks.boxes().tolist(), strict=True):
        assert read(text, *size) == (area, box, text)


def test_runs_of_no_pixels() -> None:
    masks = Masks((4, 3), np.array([2, 0, 1, 3, 0, 2, 4, 0], np.uint32), np.array([0, 8]))
    assert read(masks.to_strings()[0], 4, 3) == (5, [0, 0, 1, 3], masks.to_strings()[0])


def test_the_largest_image() -> None:
    height, width = 65535, MOST_PIXELS // 65535
    masks = Masks((height, width), np.array([height * width - 9, 9], np.uint32), np.array([0, 2]))
    assert read(masks.to_strings()[0], height, width)[:2] == (9, [width - 1, height - 9, 0, 8])


@pytest.mark.parametrize("tries", [3000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_nothing_is_valid_that_the_codec_refuses(tries: int) -> None:
    rng, valid = random.Random(1), 0
    good = Masks.from_dense(np.random.default_rng(1).random((1, 9, 8)) < 0.4).to_strings()[0]
    for _ in range(tries):
        letters = list(good)
        for _ in range(rng.randrange(3)):
            letters[rng.randrange(len(letters))] = chr(rng.randrange(40, 120))
        text = "".join(letters[: rng.choice([len(letters), rng.randrange(len(letters))])])
        area, box, out = read(text, 9, 8)
        masks, (reason,) = Masks.sift([text], (9, 8))
        assert (area == GAVE_UP) == bool(reason)
        if not reason:
            assert (area, box, out) == (masks.areas()[0], masks.boxes()[0].tolist(), text)
            valid += 1
    assert 0 < valid < tries
