"""Exact area weights of masks on a grid, through SAM's transform, without decoding them.

A run inside one pixel column is a rectangle. Its overlap with the grid is a product of a column weight and a row
weight; along the rows the weights are kept as differences, so that a run costs the cells of its two ends only, and
one cumulative sum over the touched cells finishes a mask: O(runs + cells touched).
"""

from dataclasses import dataclass
from math import ceil

import numpy as np

from ml.compute.compiled import compiled


@dataclass(frozen=True)
class Frame:
    """SAM's input frame: crop, mirror, resize the longest side to `out`, pad right and bottom to out x out.

    Attributes:
        crop: x0, y0, x1, y1 in pixels of the image; None keeps the whole image.
        flip: mirror the crop left to right (before it is padded).
        out: side of the frame in pixels.
    """

    crop: tuple[float, float, float, float] | None
    flip: bool
    out: int

    def region(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The part of an image of `size` (h, w) that the frame shows, as x0, y0, x1, y1.

        Raises:
            ValueError: the crop is empty or leaves the image.
        """
        x0, y0, x1, y1 = self.crop or (0, 0, size[1], size[0])
        if not (0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]):
            raise ValueError(f"crop {self.crop} does not lie inside an image of height, width {size}")
        return float(x0), float(y0), float(x1), float(y1)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the resized crop inside the frame, rounded as segment_anything does."""
        x0, y0, x1, y1 = self.region(size)
        scale = self.out / max(x1 - x0, y1 - y0)
        return max(int((y1 - y0) * scale + 0.5), 1), max(int((x1 - x0) * scale + 0.5), 1)

    def boxes(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Boxes xywh [n, 4] in pixels of the image -> xyxy [n, 4] in [0, 1] of the frame, cut at the crop."""
        x0, y0, x1, y1 = self.region(size)
        height, width = self.resized(size)
        xywh = np.asarray(boxes, np.float64).reshape(-1, 4)
        left, right = (np.clip(x, x0, x1) - x0 for x in (xywh[:, 0], xywh[:, 0] + xywh[:, 2]))
        top, bottom = (np.clip(y, y0, y1) - y0 for y in (xywh[:, 1], xywh[:, 1] + xywh[:, 3]))
        if self.flip:
            left, right = x1 - x0 - right, x1 - x0 - left
        sx, sy = width / (x1 - x0) / self.out, height / (y1 - y0) / self.out
        return np.stack([left * sx, top * sy, right * sx, bottom * sy], axis=1)


def coverage(
    counts: np.ndarray, offsets: np.ndarray, size: tuple[int, int], grid: tuple[int, int], frame: Frame
) -> np.ndarray:
    """The covered fraction of each cell of an h x w `grid` over the frame: float32 [n, h, w] in [0, 1]."""
    region = frame.region(size)
    height, width = frame.resized(size)
    scale_x = width / (region[2] - region[0]) * grid[1] / frame.out
    scale_y = height / (region[3] - region[1]) * grid[0] / frame.out
    out = np.zeros((len(offsets) - 1, *grid), np.float32)
    _coverage(counts, offsets, size[0], region, (scale_x, scale_y), frame.flip, out)
    return out


@compiled
def _coverage(counts, offsets, height, region, scale, flip, out):  # type: ignore[no-untyped-def]
    n, grid_h, grid_w = out.shape
    steps = np.zeros((grid_w, grid_h + 2))  # differences down each column of cells
    touched = np.empty(4, np.int64)  # first and last column, first and last row of cells
    for i in range(n):
        touched[0], touched[1], touched[2], touched[3] = grid_w, -1, grid_h, -1
        x, y = np.int64(0), np.int64(0)
        for run in range(offsets[i], offsets[i + 1]):
            length = np.int64(counts[run])
            end = y + length
            if (run - offsets[i]) & 1 and length > 0:
                if end <= height:
                    _rectangle(x, x + 1, y, end, region, scale, flip, steps, touched)
                else:
                    _rectangle(x, x + 1, y, height, region, scale, flip, steps, touched)
                    _rectangle(x + 1, x + end // height, 0, height, region, scale, flip, steps, touched)
                    after = x + end // height
                    _rectangle(after, after + 1, 0, end % height, region, scale, flip, steps, touched)
            if end >= height:
                x += end // height
                end %= height
            y = end
        _finish(steps, touched, out[i])


@compiled
def _rectangle(x0, x1, y0, y1, region, scale, flip, steps, touched):  # type: ignore[no-untyped-def]
    """Add the pixels x0 <= x < x1, y0 <= y < y1 to the differences."""
    left, right = max(float(x0), region[0]), min(float(x1), region[2])
    top, bottom = max(float(y0), region[1]), min(float(y1), region[3])
    if left >= right or top >= bottom:
        return
    if flip:
        left, right = region[0] + region[2] - right, region[0] + region[2] - left
    left, right = (left - region[0]) * scale[0], (right - region[0]) * scale[0]
    top, bottom = (top - region[1]) * scale[1], (bottom - region[1]) * scale[1]
    grid_w, grid_h = steps.shape[0], steps.shape[1] - 2
    i0, i1 = min(int(top), grid_h), min(int(bottom), grid_h)
    j0, j1 = int(left), min(ceil(right), grid_w)
    for j in range(j0, j1):
        weight = min(right, j + 1.0) - max(left, float(j))
        steps[j, i0] += weight * (i0 + 1 - top)
        steps[j, i0 + 1] += weight * (top - i0)
        steps[j, i1] -= weight * (i1 + 1 - bottom)
        steps[j, i1 + 1] -= weight * (bottom - i1)
    touched[0], touched[1] = min(touched[0], j0), max(touched[1], j1 - 1)
    touched[2], touched[3] = min(touched[2], i0), max(touched[3], i1)


@compiled
def _finish(steps, touched, out):  # type: ignore[no-untyped-def]
    """Sum the differences into `out` [h, w] and clear them."""
    grid_h = out.shape[0]
    for j in range(touched[0], touched[1] + 1):
        total = 0.0
        for i in range(touched[2], min(touched[3] + 1, grid_h)):
            total += steps[j, i]
            out[i, j] = min(max(total, 0.0), 1.0)
        for i in range(touched[2], touched[3] + 2):
            steps[j, i] = 0.0
