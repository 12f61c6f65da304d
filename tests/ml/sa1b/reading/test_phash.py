"""Copies of an image are known by their hash, however they were changed; different images are not."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from ml.sa1b.reading.phash import BITS, NEAR, mirrored_phash, nearest, phash
from ml.sa1b.reading.reader import decode
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene


def encoded(image: np.ndarray, quality: int) -> np.ndarray:
    return decode(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB"))


def resized(image: np.ndarray, across: float, down: float) -> np.ndarray:
    size = (round(image.shape[1] * across), round(image.shape[0] * down))
    return encoded(cv2.resize(image, size, interpolation=cv2.INTER_AREA if across < 1 else cv2.INTER_LINEAR), 80)


CHANGES: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda image: encoded(image, 95),
    lambda image: encoded(image, 30),
    lambda image: resized(image, 0.25, 0.25),
    lambda image: resized(image, 0.6, 0.4),
    lambda image: resized(image, 1.5, 1.5),
]


@pytest.fixture(scope="module")
def drawn() -> list[np.ndarray]:
    return [draw(scene(0, index, "phash")).image for index in range(24)]


def assert_known(images: list[np.ndarray]) -> None:
    known = [found for image in images for found in (phash(image), mirrored_phash(image))]
    for change in CHANGES:
        for mirrored in (False, True):
            changed = [change(image[:, ::-1] if mirrored else image) for image in images]
            index, bits = nearest(map(phash, changed), known)
            assert index.tolist() == [2 * i + mirrored for i in range(len(images))] and bits.max() <= NEAR


def assert_told_apart(images: list[np.ndarray]) -> None:
    for i, image in enumerate(images):
        others = [f(other) for other in images[:i] + images[i + 1 :] for f in (phash, mirrored_phash)]
        assert nearest([phash(image)], others)[1][0] > NEAR + 20


def test_copies_are_found_and_other_scenes_are_not(drawn: list[np.ndarray]) -> None:
    assert_known(drawn)
    assert_told_apart(drawn)


def test_photographs(samples: Path) -> None:
    photographs = [decode(path.read_bytes()) for path in sorted(samples.rglob("*.jpg"))]
    assert_known(photographs)
    assert_told_apart(photographs)


def test_distance_is_the_number_of_differing_bits() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = ([rng.bytes(32) for _ in range(count)] for count in (5, 7))
    expected = [[(int.from_bytes(a) ^ int.from_bytes(b)).bit_count() for b in theirs] for a in ours]
    index, bits = nearest(ours, theirs)
    assert bits.tolist() == [min(row) for row in expected]
    assert index.tolist() == [int(np.argmin(row)) for row in expected]
    assert [values.tolist() for values in nearest(ours[:1], [])] == [[-1], [BITS]]
    assert len(nearest([], theirs)[0]) == 0
