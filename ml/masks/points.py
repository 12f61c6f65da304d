"""Single pixels of masks: which masks hold a point, and points drawn from masks."""

import numpy as np

from ml.compute.compiled import compiled


@compiled
def holds(starts, ends, bounds, pixels):  # type: ignore[no-untyped-def]
    """Whether each mask holds each of `pixels` int64 [k], numbered down the columns: bool [n, k].

    Args:
        starts, ends, bounds: the masks' spans, as `algebra.spans` gives them.
    """
    out = np.zeros((len(bounds) - 1, len(pixels)), np.bool_)
    for i in range(len(out)):
        mine = ends[bounds[i] : bounds[i + 1]]
        for k in range(len(pixels)):
            span = bounds[i] + np.searchsorted(mine, pixels[k], side="right")
            out[i, k] = span < bounds[i + 1] and starts[span] <= pixels[k]
    return out


@compiled
def nth(starts, ends, bounds, ranks):  # type: ignore[no-untyped-def]
    """The pixel of each rank within its mask, counted down the columns: ranks int64 [n, k] -> int64 [n, k]."""
    out = np.empty(ranks.shape, np.int64)
    for i in range(len(out)):
        first = bounds[i]
        below = np.cumsum(ends[first : bounds[i + 1]] - starts[first : bounds[i + 1]])
        for k in range(ranks.shape[1]):
            span = np.searchsorted(below, ranks[i, k], side="right")
            out[i, k] = ends[first + span] - (below[span] - ranks[i, k])
    return out
