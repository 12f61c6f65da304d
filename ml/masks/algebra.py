"""Areas, boxes, intersections and unions of masks, from their run lengths alone."""

import numpy as np

from ml.compute.compiled import compiled

# All functions take counts uint32 [runs] and offsets int64 [n + 1]; pixels are numbered down the columns.


@compiled
def areas(counts, offsets):  # type: ignore[no-untyped-def]
    """Pixels of each mask: int64 [n]."""
    n = len(offsets) - 1
    out = np.zeros(n, np.int64)
    for i in range(n):
        for run in range(offsets[i] + 1, offsets[i + 1], 2):
            out[i] += counts[run]
    return out


@compiled
def take(counts, offsets, indices):  # type: ignore[no-untyped-def]
    """Counts and offsets of the masks at `indices` int64 [k]."""
    out_offsets = np.zeros(len(indices) + 1, np.int64)
    for k in range(len(indices)):
        out_offsets[k + 1] = out_offsets[k] + offsets[indices[k] + 1] - offsets[indices[k]]
    out = np.empty(out_offsets[-1], np.uint32)
    for k in range(len(indices)):
        out[out_offsets[k] : out_offsets[k + 1]] = counts[offsets[indices[k]] : offsets[indices[k] + 1]]
    return out, out_offsets


@compiled
def extents(counts, offsets, height):  # type: ignore[no-untyped-def]
    """First and last column and row of each mask: int64 [n, 4] as xmin, ymin, xmax, ymax; empty: 0, 0, -1, -1."""
    n = len(offsets) - 1
    out = np.empty((n, 4), np.int64)
    for i in range(n):
        x0, y0, x1, y1 = np.int64(-1), np.int64(height), np.int64(-1), np.int64(-1)
        x, y = np.int64(0), np.int64(0)
        for run in range(offsets[i] + 1, offsets[i + 1], 2):  # a run of zeros and one of ones at a time
            x, y = _advance(x, y + np.int64(counts[run - 1]), height)
            length = np.int64(counts[run])
            if length == 0:
                continue
            end = y + length  # row after the run, counted down from the top of column x
            x0 = x if x0 < 0 else x0
            y0, y1 = (np.int64(0), np.int64(height - 1)) if end > height else (min(y0, y), max(y1, end - 1))
            x1 = x if end <= height else x + (end - 1) // height
            x, y = _advance(x, end, height)
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = (x0, y0, x1, y1) if x0 >= 0 else (0, 0, -1, -1)
    return out


@compiled
def _advance(x, y, height):  # type: ignore[no-untyped-def]
    """Column and row of the pixel `y` rows below the top of column `x`; most runs end in the same or the next one."""
    if y < height:
        return x, y
    if y < 2 * height:
        return x + 1, y - height
    return x + y // height, y % height


@compiled
def spans(counts, offsets):  # type: ignore[no-untyped-def]
    """The runs of ones as pixel intervals: starts and ends int64 [spans], and their offsets int64 [n + 1]."""
    n = len(offsets) - 1
    starts = np.empty(len(counts) // 2 + 1, np.int64)
    ends = np.empty(len(counts) // 2 + 1, np.int64)
    bounds = np.zeros(n + 1, np.int64)
    filled = 0
    for i in range(n):
        pixel = np.int64(0)
        for run in range(offsets[i], offsets[i + 1]):
            length = np.int64(counts[run])
            if (run - offsets[i]) & 1 and length > 0:
                starts[filled], ends[filled] = pixel, pixel + length
                filled += 1
            pixel += length
        bounds[i + 1] = filled
    return starts[:filled], ends[:filled], bounds


@compiled
def intersection(a, b, height, same):  # type: ignore[no-untyped-def]
    """Common pixels of each pair: int64 [n, m].

    Args:
        a, b: (counts, offsets) of the two sets.
        same: they are one set, so that half the pairs suffice.
    """
    starts_a, ends_a, bounds_a = spans(a[0], a[1])
    starts_b, ends_b, bounds_b = (starts_a, ends_a, bounds_a) if same else spans(b[0], b[1])
    box_a = extents(a[0], a[1], height)
    box_b = box_a if same else extents(b[0], b[1], height)
    out = np.zeros((len(box_a), len(box_b)), np.int64)
    for i in range(len(box_a)):
        for j in range(i + 1 if same else 0, len(box_b)):
            x0, x1 = max(box_a[i, 0], box_b[j, 0]), min(box_a[i, 2], box_b[j, 2])
            if x0 > x1 or max(box_a[i, 1], box_b[j, 1]) > min(box_a[i, 3], box_b[j, 3]):
                continue
            p = _first(ends_a, bounds_a[i], bounds_a[i + 1], x0 * height)
            q = _first(ends_b, bounds_b[j], bounds_b[j + 1], x0 * height)
            last = (x1 + 1) * height
            out[i, j] = _common(starts_a, ends_a, p, bounds_a[i + 1], starts_b, ends_b, q, bounds_b[j + 1], last)
    if same:
        pixels = areas(a[0], a[1])
        for i in range(len(box_a)):
            out[i, i] = pixels[i]
            for j in range(i):
                out[i, j] = out[j, i]
    return out


@compiled
def _first(ends, low, high, pixel):  # type: ignore[no-untyped-def]
    """The first span of `low:high` that ends after `pixel`."""
    while low < high:
        middle = (low + high) // 2
        if ends[middle] <= pixel:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _common(starts_a, ends_a, p, p_end, starts_b, ends_b, q, q_end, last):  # type: ignore[no-untyped-def]
    """Common pixels of spans p:p_end of a and q:q_end of b, up to pixel `last`; both ranges hold a span."""
    total = np.int64(0)
    start_a, end_a, start_b, end_b = starts_a[p], ends_a[p], starts_b[q], ends_b[q]
    while True:  # the span that ends first is done with
        total += max(min(end_a, end_b) - max(start_a, start_b), 0)
        if end_a <= end_b:
            p += 1
            if p == p_end or starts_a[p] >= last:
                return total
            start_a, end_a = starts_a[p], ends_a[p]
        else:
            q += 1
            if q == q_end or starts_b[q] >= last:
                return total
            start_b, end_b = starts_b[q], ends_b[q]


@compiled
def union(counts, offsets, pixels):  # type: ignore[no-untyped-def]
    """The run lengths of the union of all masks: uint32 [runs]."""
    starts, ends, _ = spans(counts, offsets)
    order = np.argsort(starts)
    out = np.empty(2 * len(starts) + 2, np.uint32)
    filled, covered, opened = 0, 0, -1  # `covered`: pixels up to here are decided
    for k in order:
        if opened >= 0 and starts[k] <= covered:
            covered = max(covered, ends[k])
            continue
        if opened >= 0:
            out[filled] = covered - opened
            filled += 1
        out[filled] = starts[k] - covered
        filled += 1
        opened, covered = starts[k], ends[k]
    if opened >= 0:
        out[filled] = covered - opened
        filled += 1
    if covered < pixels or filled == 0:
        out[filled] = pixels - covered
        filled += 1
    return out[:filled].copy()


@compiled
def runs(columns):  # type: ignore[no-untyped-def]
    """The run lengths of dense masks, `columns` bool [n, w * h] column-major: counts uint32, offsets int64 [n + 1]."""
    n, pixels = columns.shape
    offsets = np.zeros(n + 1, np.int64)
    for i in range(n):
        changes = 2 if columns[i, 0] else 1
        for k in range(1, pixels):
            changes += columns[i, k] != columns[i, k - 1]
        offsets[i + 1] = offsets[i] + changes
    counts = np.zeros(offsets[n], np.uint32)
    for i in range(n):
        run = offsets[i] + (1 if columns[i, 0] else 0)
        for k in range(pixels):
            if k > 0 and columns[i, k] != columns[i, k - 1]:
                run += 1
            counts[run] += 1
    return counts, offsets
