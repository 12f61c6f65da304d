import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from ml.masks import Frame
from ml.params import Augment
from ml.sa1b.reading.padding import MEAN_COLOUR
from ml.training.data.augment import (
    DOUBTED,
    LOST,
    YIQ,
    View,
    cached_view,
    doubt,
    mirrored,
    plain_view,
    random_view,
    recolored,
    render,
)

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
    frame = render(image, View(Frame((10, 5, 50, 25), True, 40), None), (40, 60)).numpy()
    assert np.array_equal(frame[:3, :20], image[5:25, 10:50][:, ::-1].transpose(2, 0, 1))
    assert (frame[:, 20:] == np.array([*MEAN_COLOUR, 0])[:, None, None]).all() and (frame[3, :20] == 1).all()
    assert np.array_equal(render(image, plain_view(60), (40, 60))[:3, :40].numpy(), image.transpose(2, 0, 1))


def test_render_changes_colours_but_not_the_padding() -> None:
    image = np.full((4, 8, 3), 100, np.uint8)
    frame = render(image, View(Frame(None, False, 8), (1.2, 1.0, 1.0, 0.0)), (4, 8))
    assert (frame[:3, :4] == 120).all()
    assert (frame[:3, 4:, 0] == torch.tensor(MEAN_COLOUR)[:, None]).all()


MUTED = torch.from_numpy(np.random.default_rng(0).integers(90, 150, (3, 16, 24), np.uint8))  # no jitter cuts it off


@pytest.mark.parametrize(
    "color", [(1.0, 1.0, 1.0), (1.2, 1.0, 1.0), (1.0, 0.8, 1.0), (1.0, 1.0, 1.3), (0.9, 1.2, 0.7), (1.1, 0.9, 1.1)]
)
def test_colours_change_as_torchvision_changes_them(color: tuple[float, float, float]) -> None:
    wanted = functional.adjust_brightness(MUTED, color[0])
    wanted = functional.adjust_saturation(functional.adjust_contrast(wanted, color[1]), color[2])
    assert (recolored(MUTED, (*color, 0.0)).int() - wanted.int()).abs().max() <= 3  # torchvision cuts decimals thrice


@pytest.mark.parametrize("hue", [-0.05, 0.05, 0.2])
def test_a_turn_of_the_hue_keeps_greys_and_luminance(hue: float) -> None:
    grey = torch.full((3, 4, 4), 77, dtype=torch.uint8)
    assert torch.equal(recolored(grey, (1.0, 1.0, 1.0, hue)), grey)
    luminance = torch.tensor(YIQ[0], dtype=torch.float32)
    before, after = (luminance @ image.flatten(1).float() for image in (MUTED, recolored(MUTED, (1, 1, 1, hue))))
    assert (before - after).abs().max() <= 1
    assert (recolored(MUTED, (1.0, 1.0, 1.0, 1.0)).int() - MUTED.int()).abs().max() <= 1  # a whole turn


def test_hue_turns_the_way_torchvision_turns_it() -> None:
    def move(image: torch.Tensor) -> torch.Tensor:
        return (image.float() - MUTED.float()).flatten()

    ours, theirs = move(recolored(MUTED, (1, 1, 1, 0.05))), move(functional.adjust_hue(MUTED, 0.05))
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.5


def test_some_crops_are_doubted_and_none_is_lost() -> None:
    factors = doubt(np.random.default_rng(0), 2000)
    assert factors.shape == (2000, 1) and factors.dtype == np.float32
    assert factors.min() >= 1 - LOST and factors.min() < 1 - 0.95 * LOST and factors.max() == 1
    assert (factors < 1).mean() == pytest.approx(DOUBTED, abs=0.04)
