"""What a model is shown of a mask: its surroundings, and the mask in them as params say."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from ml.labeling.captioners.drawing import drawn_image, drawn_masks
from ml.masks import Masks
from ml.params import OpenAi

GREEN, BLUE = (0, 160, 0), (0, 0, 200)


@pytest.fixture
def scene(rectangles: Callable[..., Masks]) -> tuple[np.ndarray, Masks]:
    """A blue box 20 x 10 in the middle of green, 100 x 100, as an image and a mask."""
    image = np.full((100, 100, 3), GREEN, np.uint8)
    image[45:55, 40:60] = BLUE
    return image, rectangles((40, 45, 20, 10))


def shown(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def crop(scene: tuple[np.ndarray, Masks], params: OpenAi, **changes: Any) -> np.ndarray:
    (jpeg,) = drawn_masks(*scene, params.model_copy(update={"crop_size": 200, "crop_margin": 1.0, **changes}))
    return shown(jpeg)


def near(pixel: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool(np.abs(pixel - np.array(colour)).max() < 30)


def test_without_a_drawing_it_is_the_image(scene: tuple[np.ndarray, Masks], questions: OpenAi) -> None:
    """Of a box 20 x 10 with a margin of 1: 60 x 50 pixels, the longer side as params say."""
    pixels = crop(scene, questions, drawing="none")
    assert pixels.shape == (167, 200, 3)
    assert near(pixels[83, 100], BLUE) and near(pixels[10, 10], GREEN) and near(pixels[83, 20], GREEN)
    assert crop(scene, questions, drawing="none", crop_margin=0.0).shape[1] == 200


def test_an_outline_is_red_and_leaves_what_it_surrounds(scene: tuple[np.ndarray, Masks], questions: OpenAi) -> None:
    pixels = crop(scene, questions, drawing="outline")
    red = (pixels[..., 0] > 140) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90)
    assert red[83, 55:80].any() and red[55:75, 100].any() and not red[:, :50].any()
    assert near(pixels[83, 100], BLUE) and near(pixels[10, 10], GREEN)


def test_dimmed_surroundings_fade_to_grey(scene: tuple[np.ndarray, Masks], questions: OpenAi) -> None:
    pixels = crop(scene, questions, drawing="dim")
    assert near(pixels[83, 100], BLUE)
    assert near(pixels[10, 10], (95, 135, 95))


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (99, 99, 1, 1), (0, 0, 100, 100), (0, 50, 100, 1), (99, 0, 1, 100)])
@pytest.mark.parametrize("drawing", ["outline", "dim", "none"])
def test_crops_at_the_border_end_there(
    box: tuple[int, ...], drawing: str, rectangles: Callable[..., Masks], questions: OpenAi
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 100, 3), np.uint8)
    pixels = crop((image, rectangles(box)), questions, drawing=drawing)
    assert max(pixels.shape[:2]) == 200


def test_the_same_bytes_again_and_the_image_is_left_as_it_was(
    scene: tuple[np.ndarray, Masks], questions: OpenAi
) -> None:
    before = scene[0].copy()
    assert drawn_masks(*scene, questions) == drawn_masks(*scene, questions)
    assert (scene[0] == before).all()


def test_a_whole_image_keeps_its_shape(questions: OpenAi) -> None:
    image = np.zeros((300, 600, 3), np.uint8)
    assert shown(drawn_image(image, questions)).shape == (32, 64, 3)
