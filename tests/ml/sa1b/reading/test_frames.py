"""SAM's frame against segment_anything's own transform, and against the coverage of the masks that lie on it."""

from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.masks import Frame, Masks
from ml.sa1b.reading.frames import least_size, shown
from ml.sa1b.reading.padding import padded, to_frame
from ml.sa1b.reading.reader import decode

HEIGHT, WIDTH = 600, 901
BLOB = np.hypot(*np.mgrid[-300:300, -400:501]) < 250  # a disc
WHITE = simplejpeg.encode_jpeg(np.repeat(BLOB[..., None] * np.uint8(255), 3, 2), 95)


def whole(side: int) -> Frame:
    return Frame(None, False, side)


@pytest.mark.parametrize("size", [(48, 64), (64, 64), (30, 20), (300, 451), (1, 7)])
def test_it_is_sams_own_frame(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    ours = padded(shown(image, whole(64), size).numpy(), 64)
    assert np.abs(ours.astype(int) - to_frame(image, 64)).max() <= 1
    height, width = whole(64).resized(size)
    assert (ours[3, :height, :width] == 1).all() and ours[3].sum() == height * width


def test_an_image_of_the_frames_size_is_not_touched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    assert torch.equal(shown(image, whole(64), (48, 64)), torch.from_numpy(image).permute(2, 0, 1))


@settings(deadline=None, max_examples=60)
@given(data=st.data(), flip=st.booleans(), side=st.sampled_from([64, 128, 512]))
def test_pixels_lie_where_the_masks_say(data: st.DataObject, flip: bool, side: int) -> None:
    """A white mask on black: the mean of a cell's pixels is the covered fraction, whatever the crop and the scale."""
    x0, y0 = data.draw(st.integers(0, WIDTH // 2)), data.draw(st.integers(0, HEIGHT // 2))
    x1, y1 = data.draw(st.integers(x0 + 200, WIDTH)), data.draw(st.integers(y0 + 200, HEIGHT))
    frame, size = Frame((x0, y0, x1, y1), flip, side), (HEIGHT, WIDTH)
    image = decode(WHITE, least_size(frame, size))
    height, width = frame.resized(size)
    seen = torch.zeros(side, side)
    seen[:height, :width] = shown(image, frame, size)[0].float() / 255
    cells = F.avg_pool2d(seen[None], 16)[0].numpy()
    coverage = Masks.from_dense(BLOB[None]).coverage(cells.shape, frame)[0]
    assert np.abs(cells - coverage).max() < 0.08  # half a pixel of a cell of sixteen, and the JPEG's own error
    assert np.abs(cells - coverage).mean() < 1.28 / side  # the outline crosses half of 4 x 4 cells, and few of 32 x 32


def test_the_frame_is_never_enlarged_from_less() -> None:
    for crop in (None, (0, 0, 512, 300), (1, 1, 260, 600), (100, 100, 130, 120)):
        frame = Frame(crop, False, 256)
        least = least_size(frame, (HEIGHT, WIDTH))
        image = decode(WHITE, least)
        assert image.shape[:2] == (HEIGHT, WIDTH) or (image.shape[0] >= least[0] and image.shape[1] >= least[1])
        assert image.shape[:2] == (HEIGHT, WIDTH) or frame.out * 2 <= max(frame.crop or (0, 0, WIDTH, HEIGHT))


def test_a_photograph_at_half_its_size_is_nearly_the_same(samples: Path) -> None:
    data = (samples / "sa1b" / "sa_1.jpg").read_bytes()
    frame = whole(1024)
    half = decode(data, least_size(frame, (2060, 1500)))
    assert half.shape == (1030, 750, 3)
    ours = padded(shown(half, frame, (2060, 1500)).numpy(), 1024)
    assert np.abs(ours.astype(int) - to_frame(decode(data), 1024)).mean() < 2.5
