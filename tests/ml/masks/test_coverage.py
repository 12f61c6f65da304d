"""Coverage against an oracle that paints every pixel's rectangle on the grid."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml.masks import Frame, Masks

SAMPLE = Path(__file__).resolve().parents[4] / "shared/samples/sa1b/sa_1.json"


def overlap(edges: np.ndarray, cells: int) -> np.ndarray:
    """Length of pixel p (edges[p] to edges[p + 1]) in each of the cells: [pixels, cells]."""
    start = np.arange(cells)
    low = np.maximum(edges[:-1, None], start)
    return np.clip(np.minimum(edges[1:, None], start + 1) - low, 0, None)


def brute_force(dense: np.ndarray, grid: tuple[int, int], frame: Frame) -> np.ndarray:
    """Crop, mirror and pad the dense mask, every pixel an exact rectangle: [n, h, w]."""
    height, width = dense.shape[1:]
    x0, y0, x1, y1 = frame.crop or (0, 0, width, height)
    scale = frame.out / max(x1 - x0, y1 - y0)
    frame_h = max(int((y1 - y0) * scale + 0.5), 1)
    frame_w = max(int((x1 - x0) * scale + 0.5), 1)
    x = (np.clip(np.arange(width + 1), x0, x1) - x0) * frame_w / (x1 - x0)
    y = (np.clip(np.arange(height + 1), y0, y1) - y0) * frame_h / (y1 - y0)
    if frame.flip:
        dense, x = dense[:, :, ::-1], (frame_w - x)[::-1]
    rows = overlap(y * grid[0] / frame.out, grid[0])
    columns = overlap(x * grid[1] / frame.out, grid[1])
    return rows.T @ dense.astype(np.float64) @ columns


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int], Frame]:
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    dense = draw(hnp.arrays(bool, (draw(st.integers(1, 3)), height, width)))
    cuts = [sorted(draw(st.lists(st.integers(0, side * 4), min_size=2, max_size=2))) for side in (width, height)]
    crop = tuple(cut[k] / 4 for k in (0, 1) for cut in cuts)
    empty = crop[0] == crop[2] or crop[1] == crop[3]
    whole = draw(st.booleans()) or empty
    grid = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return dense, grid, Frame(None if whole else crop, draw(st.booleans()), draw(st.integers(1, 40)))


@settings(max_examples=300)
@given(cases())
def test_coverage_is_exact(case: tuple[np.ndarray, tuple[int, int], Frame]) -> None:
    dense, grid, frame = case
    found = Masks.from_dense(dense).coverage(grid, frame)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, brute_force(dense, grid, frame), atol=1e-6)


def test_flip_mirrors_before_padding() -> None:
    dense = np.zeros((1, 8, 4), bool)
    dense[0, :, 0] = True
    found = Masks.from_dense(dense).coverage((8, 8), Frame(None, True, 8))
    assert np.flatnonzero(found[0].any(0)).tolist() == [3]


def test_full_mask_covers_its_frame_and_not_the_padding() -> None:
    found = Masks.from_dense(np.ones((1, 50, 100), bool)).coverage((16, 16), Frame(None, False, 256))
    assert np.array_equal(found[0], np.repeat([1.0, 0.0], 8)[:, None] * np.ones((1, 16)))


def test_masks_do_not_leak_into_each_other() -> None:
    dense = np.zeros((3, 9, 9), bool)
    dense[0], dense[2, 4, 4] = True, True
    masks = Masks.from_dense(dense)
    alone = [masks.select([i]).coverage((4, 4), Frame(None, False, 16))[0] for i in range(3)]
    assert np.array_equal(masks.coverage((4, 4), Frame(None, False, 16)), np.stack(alone))


def test_crop_outside_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="does not lie inside"):
        Masks.from_dense(np.ones((1, 4, 4), bool)).coverage((2, 2), Frame((0, 0, 5, 4), False, 8))


@given(cases())
def test_boxes_follow_the_masks(case: tuple[np.ndarray, tuple[int, int], Frame]) -> None:
    """A filled rectangle's coverage integrates to its box's area in the frame."""
    dense, grid, frame = case
    solid = np.zeros_like(dense[:1])
    height, width = dense.shape[1:]
    box = [width // 3, height // 4, width - width // 3, height - height // 4]
    solid[0, box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = True
    ((x0, y0, x1, y1),) = frame.boxes(np.array([box]), (height, width))
    found = Masks.from_dense(solid).coverage(grid, frame).mean()
    assert found == pytest.approx((x1 - x0) * (y1 - y0), abs=1e-6)


def test_real_masks() -> None:
    if not SAMPLE.exists():
        pytest.skip("the SA-1B sample files are not here")
    rles = [annotation["segmentation"] for annotation in json.loads(SAMPLE.read_text())["annotations"]][:8]
    masks = Masks.parse([rle["counts"] for rle in rles], rles[0]["size"])
    dense = np.stack([masks.dense(i) for i in range(len(masks))])
    for frame in (Frame(None, False, 1024), Frame((100, 350.5, 1400, 1700), True, 1024)):
        np.testing.assert_allclose(masks.coverage((64, 64), frame), brute_force(dense, (64, 64), frame), atol=1e-6)
