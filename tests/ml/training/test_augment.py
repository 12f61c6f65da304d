import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.masks import Frame
from ml.params import Augment
from ml.training.augment import View, cached_view, mirrored, plain_view, random_view, render

AUGMENT = Augment(flip=0.5, crop_scale=[0.5, 1.0], color_jitter=[0.4, 0.4, 0.4, 0.1])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the red car left of the house", "the red car right of the house"),
        ("leftmost boat", "rightmost boat"),
        ("the ball to the right of the car on the left", "the ball to the left of the car on the right"),
        ("a bright light, leftover", "a bright light, leftover"),
        ("Left of the house", "right of the house"),
        ("", ""),
    ],
)
def test_left_and_right_change_places(text: str, wanted: str) -> None:
    assert mirrored(text) == wanted


@settings(deadline=None)
@given(st.lists(st.sampled_from(["left", "right", "leftmost", "rightmost", "car", "of", "bright"])).map(" ".join))
def test_mirrored_twice_is_the_same(text: str) -> None:
    assert mirrored(mirrored(text)) == text


def test_cached_features_are_flipped_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    views = [cached_view(rng, AUGMENT, 64) for _ in range(400)]
    assert all(view.frame.crop is None and view.color is None for view in views)
    assert 150 < sum(view.frame.flip for view in views) < 250
    never = AUGMENT.model_copy(update={"flip": 0.0})
    assert not any(cached_view(rng, never, 64).frame.flip for _ in range(50))


@settings(deadline=None)
@given(seed=st.integers(0, 1000), height=st.integers(1, 300), width=st.integers(1, 300))
def test_a_crop_lies_inside_and_is_as_large_as_asked(seed: int, height: int, width: int) -> None:
    view = random_view(np.random.default_rng(seed), AUGMENT, 64, (height, width))
    x0, y0, x1, y1 = view.frame.region((height, width))  # raises where it leaves the image
    assert (x1 - x0) * (y1 - y0) <= height * width
    if min(height, width) > 30 and max(height, width) < 1.3 * min(height, width):
        assert (x1 - x0) * (y1 - y0) >= 0.4 * height * width


def test_render_cuts_and_mirrors() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    view = View(Frame((10, 5, 50, 25), True, 64), None)
    assert np.array_equal(render(image, view), image[5:25, 10:50][:, ::-1])
    assert np.array_equal(render(image, plain_view(64)), image)


def test_render_changes_colours_only() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    brighter = render(image, View(Frame(None, False, 64), (1.2, 1.0, 1.0, 0.0)))
    assert np.array_equal(brighter, np.full((8, 8, 3), 120, np.uint8))
    same = render(image, View(Frame(None, False, 64), (1.0, 1.0, 1.0, 0.0)))
    assert np.array_equal(same, image)
