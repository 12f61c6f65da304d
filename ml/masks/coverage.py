"""Exact area weights of masks on a grid, through SAM's transform, without decoding them.

A run inside one pixel column is a rectangle. Its overlap with the grid is a product of a column weight and a row
weight; along the rows the weights are kept as differences, so that a run costs the cells of its two ends only, and
one cumulative sum over the touched cells finishes a mask: O(runs + cells touched).
"""

from math import ceil

import numpy as np

from ml.compute.compiled import compiled
from ml.masks.frame import Frame


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
