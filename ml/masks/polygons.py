"""Run lengths of polygons, bit for bit as pycocotools rasterises them (`rleFrPoly` in cocoapi's maskApi.c).

The outline is walked at five times the resolution. Where it steps from one column to the next, at a column's middle,
the row of that crossing is kept; sorted, the crossings alternate between the runs of zeros and ones. Only crossings
are stored: a corner far outside costs time, not memory.
"""

from math import ceil, floor

import numpy as np

from ml.compute.compiled import compiled

SCALE = 5.0
REACH = 2.0**17  # pixels that a corner may lie from the origin; JPEGs end at 2**16


@compiled
def rasterize(xy, height, width):  # type: ignore[no-untyped-def]
    """The run lengths uint32 [runs] of the polygon with corners `xy` float64 [k, 2] (x, y), closed by itself."""
    crossings = np.empty(16, np.int64)
    filled = 0
    u0, v0, first = 0, 0, True
    for j in range(len(xy)):
        xs, ys = _corner(xy, j)
        xe, ye = _corner(xy, (j + 1) % len(xy))
        steps = max(abs(xe - xs), abs(ye - ys))
        for d in range(steps + 1):
            u, v = _on_edge(xs, ys, xe, ye, d)
            if not first and u != u0:
                pixel = _crossing(u0, v0, u, v, height, width)
                if pixel >= 0:
                    if filled == len(crossings):
                        crossings = np.concatenate((crossings, np.empty_like(crossings)))
                    crossings[filled] = pixel
                    filled += 1
            u0, v0, first = u, v, False
    return _runs(np.sort(crossings[:filled]), height * width)


@compiled
def _corner(xy, j):  # type: ignore[no-untyped-def]
    return int(SCALE * xy[j, 0] + 0.5), int(SCALE * xy[j, 1] + 0.5)


@compiled
def _on_edge(xs, ys, xe, ye, d):  # type: ignore[no-untyped-def]
    """The d-th point from the start of an edge; computed from its lower end, so that both directions round alike."""
    dx, dy = abs(xe - xs), abs(ye - ys)
    if max(dx, dy) == 0:
        return xs, ys
    flip = (dx >= dy and xs > xe) or (dx < dy and ys > ye)
    if flip:
        xs, ys, xe, ye = xe, ye, xs, ys
        d = max(dx, dy) - d
    if dx >= dy:
        return xs + d, int(ys + (ye - ys) / dx * d + 0.5)
    return int(xs + (xe - xs) / dy * d + 0.5), ys + d


@compiled
def _crossing(u0, v0, u, v, height, width):  # type: ignore[no-untyped-def]
    """The pixel below which a step between columns changes inside and outside; -1: not at a column's middle."""
    x = ((u if u < u0 else u - 1) + 0.5) / SCALE - 0.5
    if floor(x) != x or x < 0 or x > width - 1:
        return np.int64(-1)
    y = (min(v, v0) + 0.5) / SCALE - 0.5
    return np.int64(x) * height + np.int64(ceil(min(max(y, 0.0), float(height))))


@compiled
def _runs(crossings, pixels):  # type: ignore[no-untyped-def]
    """Sorted crossings -> run lengths; two at one pixel cancel each other."""
    out = np.empty(len(crossings) + 1, np.uint32)
    filled, before, joined = 0, np.int64(0), False
    for k in range(len(crossings) + 1):
        length = (crossings[k] if k < len(crossings) else pixels) - before
        before += length
        if joined:
            out[filled - 1] += length
            joined = False
        elif length > 0 or k == 0:
            out[filled] = length
            filled += 1
        else:
            joined = True
    return out[:filled].copy()
