"""Masks brought to a picture's edges: the guided filter by its definition, and what it is for."""

import cv2
import numpy as np
import pytest

from ml.masks import Frame
from ml.masks.edges import Edges
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene

RADIUS, VARIANCE = 2, 1e-4


def drawn_in(mask: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """A mask as a decoder of so many cells would draw it."""
    return cv2.resize(mask.astype(np.float32), cells[::-1], interpolation=cv2.INTER_AREA)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def by_definition(image: np.ndarray, probability: np.ndarray, radius: int, variance: float) -> np.ndarray:
    """Ridge regression on the colours of each window, then the mean of what its windows say of each cell."""
    colours = np.pad(image / 255.0, ((radius,) * 2, (radius,) * 2, (0, 0)), "symmetric")
    mass = np.pad(probability.astype(float), radius, "symmetric")
    height, width = probability.shape
    linear = np.empty((height, width, 4))
    for y in range(height):
        for x in range(width):
            seen = colours[y : y + 2 * radius + 1, x : x + 2 * radius + 1].reshape(-1, 3)
            given = mass[y : y + 2 * radius + 1, x : x + 2 * radius + 1].reshape(-1)
            centred = seen - seen.mean(0)
            spread = centred.T @ centred / len(seen) + variance * np.eye(3)
            factors = np.linalg.solve(spread, centred.T @ (given - given.mean()) / len(seen))
            linear[y, x] = [*factors, given.mean() - factors @ seen.mean(0)]
    padded = np.pad(linear, ((radius,) * 2, (radius,) * 2, (0, 0)), "symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1,) * 2, axis=(0, 1))
    mean = windows.mean((-1, -2))
    return (mean[..., :3] * image / 255.0).sum(-1) + mean[..., 3]


@pytest.mark.parametrize("radius", [1, 2])
def test_it_is_the_guided_filter(radius: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (14, 17, 3), np.uint8)
    probability = rng.uniform(0.05, 0.95, (14, 17)).astype(np.float32)
    wanted = by_definition(image, probability, radius, 0.01)
    found = Edges(image, (14, 17), 1, radius, 0.01).fit(probability)
    clear = np.abs(wanted - 0.5) > 1e-4
    assert clear.mean() > 0.99 and (found == (wanted > 0.5))[clear].all()


def test_toytowns_things_are_found_to_the_edge() -> None:
    fitted, smooth = [], []
    for index in range(4):
        drawing = draw(scene(0, index, "edges"))
        edges = Edges(drawing.image, (256, 256), 4, RADIUS, VARIANCE)
        for node in drawing.scene.nodes:
            mask = drawing.masks[node.id]
            if node.level == "object" and mask.any():
                drawn = drawn_in(mask, (64, 64))
                fitted.append(iou(edges.fit(drawn), mask))
                smooth.append(iou(cv2.resize(drawn, (256, 256), interpolation=cv2.INTER_LINEAR) > 0.5, mask))
    assert np.mean(fitted) > np.mean(smooth) + 0.03 and np.mean(fitted) > 0.94


@pytest.mark.parametrize("size", [(200, 300), (301, 151), (97, 256), (64, 40)])
def test_pictures_of_any_size_lie_at_the_top_left_of_the_frame(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 220, np.uint8)
    truth = np.zeros(size, np.uint8)
    centre = (size[1] * 3 // 5, size[0] // 3)
    cv2.ellipse(truth, centre, (size[1] // 4, size[0] // 5), 20, 0, 360, 1, -1)
    image[truth > 0] = (200, 40, 40)
    frame = Frame(None, False, 256).resized(size)
    framed = cv2.resize(truth.astype(np.float32), frame[::-1], interpolation=cv2.INTER_AREA) > 0.5
    padded = np.zeros((256, 256), bool)
    padded[: frame[0], : frame[1]] = framed
    edges, drawn = Edges(image, frame, 4, RADIUS, VARIANCE), drawn_in(padded, (64, 64))
    found = edges.fit(drawn)
    assert found.shape == size and iou(found, truth > 0) > 0.97
    without_last = drawn[: frame[0] // 4, : frame[1] // 4]
    assert iou(edges.fit(without_last), truth > 0) > 0.97


def test_nothing_is_nothing() -> None:
    edges = Edges(np.zeros((64, 64, 3), np.uint8), (64, 64), 4, RADIUS, VARIANCE)
    assert not edges.fit(np.zeros((16, 16), np.float32)).any()


def test_a_plain_picture_leaves_the_mask_where_it_was_drawn() -> None:
    truth = np.zeros((64, 64), bool)
    truth[16:48, 8:40] = True
    edges = Edges(np.full((64, 64, 3), 90, np.uint8), (64, 64), 4, 1, VARIANCE)
    assert iou(edges.fit(drawn_in(truth, (16, 16))), truth) > 0.8
