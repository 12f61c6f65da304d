"""The masks of one image in numpy alone: what `Masks` does compiled, for a process that must start at once.

Of each mask the number of its pixels among the first p, a broken line with a corner at each end of a run, answers
everything: areas, intersections and the coverage of grids are differences of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.masks.frame import Frame


@dataclass(frozen=True)
class PlainMasks:
    """n masks of one image.

    Attributes:
        size: height, width in pixels.
        counts: uint32 [runs], run lengths in column-major order, zeros first, of all masks one after the other.
        offsets: int64 [n + 1]; mask i has counts[offsets[i] : offsets[i + 1]].
    """

    size: tuple[int, int]
    counts: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_dense(cls, array: np.ndarray) -> Self:
        """Encode dense masks, bool [n, h, w]."""
        return cls._of([_runs(mask.T.reshape(-1)) for mask in array.astype(bool, copy=False)], array.shape[1:])

    @classmethod
    def concatenate(cls, sets: Sequence["PlainMasks"], size: tuple[int, int]) -> Self:
        """All masks of several sets of one size, in order."""
        lengths = [np.diff(masks.offsets) for masks in sets]
        offsets = np.concatenate([[0], np.cumsum(np.concatenate([*lengths, np.empty(0, np.int64)]))]).astype(np.int64)
        return cls(size, np.concatenate([*(masks.counts for masks in sets), np.empty(0, np.uint32)]), offsets)

    @classmethod
    def _of(cls, runs: Sequence[np.ndarray], size: tuple[int, int]) -> Self:
        offsets = np.cumsum([0, *map(len, runs)], dtype=np.int64)
        return cls(size, np.concatenate([*runs, np.empty(0, np.uint32)]).astype(np.uint32), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def dense(self, index: int) -> np.ndarray:
        """One mask at full size, bool [h, w]: for the edges of the system and for tests."""
        runs = self.counts[self.offsets[index] : self.offsets[index + 1]]
        values = np.arange(len(runs)) % 2 == 1
        return np.repeat(values, runs).reshape(self.size[1], self.size[0]).T

    def select(self, indices: Any) -> Self:
        """The masks at `indices` (integers or a bool [n]), in that order."""
        chosen = np.arange(len(self))[np.asarray(indices, dtype=None if len(indices) else np.int64)]
        each = list(self._each())
        return self._of([each[i] for i in chosen], self.size)

    def to_strings(self) -> list[str]:
        """COCO's compressed strings, byte for byte what pycocotools writes for these run lengths."""
        return [_string(runs.tolist()) for runs in self._each()]

    def areas(self) -> np.ndarray:
        """Pixels of each mask: int64 [n]."""
        return np.array([int(runs[1::2].sum(dtype=np.int64)) for runs in self._each()], np.int64)

    def boxes(self) -> np.ndarray:
        """Boxes xywh in SA-1B's convention, w = xmax - xmin: float64 [n, 4]; zeros for an empty mask."""
        extents = self._extents()
        sides = np.maximum(extents[:, 2:] - extents[:, :2], 0)
        return np.concatenate([extents[:, :2], sides], axis=1).astype(np.float64)

    def coco_boxes(self) -> np.ndarray:
        """Boxes xywh as pycocotools' `toBbox`, w = xmax - xmin + 1: float64 [n, 4]; zeros for an empty mask."""
        extents = self._extents()
        return np.concatenate([extents[:, :2], extents[:, 2:] - extents[:, :2] + 1], axis=1).astype(np.float64)

    def _extents(self) -> np.ndarray:
        """First and last column and row of each mask: int64 [n, 4] as xmin, ymin, xmax, ymax; empty: 0, 0, -1, -1."""
        found = [_extent(runs, self.size[0]) for runs in self._each()]
        return np.array(found, np.int64).reshape(-1, 4)

    def intersection(self, other: "PlainMasks") -> np.ndarray:
        """Common pixels of each pair: int64 [n, m].

        Raises:
            ValueError: the two are not of one size.
        """
        if self.size != other.size:
            raise ValueError(f"masks of size {self.size} and {other.size} do not share pixels")
        spans = [_spans(runs) for runs in other._each()]
        starts, ends = (np.concatenate([*(span[side] for span in spans), np.empty(0)]) for side in (0, 1))
        owner = np.repeat(np.arange(len(spans)), [len(first) for first, _ in spans])
        out = np.empty((len(self), len(other)), np.int64)
        for row, runs in zip(out, self._each(), strict=True):
            passed, ones = _corners(runs)
            common = np.interp(ends, passed, ones) - np.interp(starts, passed, ones)
            row[:] = np.bincount(owner, common, len(spans))
        return out

    def iou(self, other: "PlainMasks") -> np.ndarray:
        """Intersection over union of each pair: float64 [n, m]; 0 for two empty masks."""
        common = self.intersection(other)
        either = self.areas()[:, None] + other.areas()[None, :] - common
        return common / np.maximum(either, 1)

    def containment(self, other: "PlainMasks") -> np.ndarray:
        """The share of mask i that lies in mask j of `other`: float64 [n, m]; 0 for an empty mask i."""
        return self.intersection(other) / np.maximum(self.areas(), 1)[:, None]

    def coverage(self, grid: tuple[int, int], frame: Frame) -> np.ndarray:
        """The exact covered fraction of each cell of an h x w grid over SAM's frame: float32 [n, h, w]."""
        x0, y0, x1, y1 = frame.region(self.size)
        height, width = frame.resized(self.size)
        cell = np.array([(y1 - y0) / height, (x1 - x0) / width]) * frame.out / grid  # pixels of the image a cell
        rows = np.minimum(y0 + cell[0] * np.arange(grid[0] + 1), y1)
        first, last = int(np.floor(x0)), int(np.ceil(x1))
        asked = np.arange(first, last)[:, None] * self.size[0] + rows
        edges = np.arange(first, last + 1).clip(x0, x1)
        across = _overlaps(x1 - edges[::-1] if frame.flip else edges - x0, cell[1] * np.arange(grid[1] + 1))
        out = np.zeros((len(self), *grid), np.float32)
        for cover, runs in zip(out, self._each(), strict=True):
            down = np.diff(np.interp(asked, *_corners(runs)), axis=1)
            cover[:] = ((across @ (down[::-1] if frame.flip else down)).T / cell.prod()).clip(0, 1)
        return out

    def _each(self) -> Iterator[np.ndarray]:
        """The run lengths of each mask."""
        return (self.counts[a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True))


def _runs(column: NDArray[np.bool_]) -> np.ndarray:
    """Run lengths of one flat mask, zeros first."""
    changes = np.flatnonzero(column[1:] != column[:-1]) + 1
    ends = np.concatenate([[0] if column[0] else [], changes, [len(column)]])
    return np.diff(ends, prepend=0)


def _corners(runs: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The broken line: pixels passed, and how many of them were of the mask, where each run ends."""
    passed = np.cumsum(runs, dtype=np.float64)
    ones = np.cumsum(np.where(np.arange(len(runs)) % 2, runs, 0), dtype=np.float64)
    return np.concatenate([[0.0], passed]), np.concatenate([[0.0], ones])


def _spans(runs: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First pixels of the runs of ones, and those behind them."""
    passed = np.cumsum(runs, dtype=np.float64)
    return passed[1::2] - runs[1::2], passed[1::2]


def _extent(runs: np.ndarray, height: int) -> tuple[int, int, int, int]:
    starts, ends = _spans(runs)
    solid = ends > starts
    if not solid.any():
        return 0, 0, -1, -1
    first, last = starts[solid].astype(np.int64), ends[solid].astype(np.int64) - 1
    if (first // height != last // height).any():  # a run that goes on in the next column touches both edges
        return int(first[0] // height), 0, int(last[-1] // height), height - 1
    return int(first[0] // height), int((first % height).min()), int(last[-1] // height), int((last % height).max())


def _overlaps(columns: NDArray[np.float64], cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each column, between one edge and the next, lies in each cell: `[cells, columns]`."""
    right = np.minimum(columns[None, 1:], cells[1:, None])
    return np.maximum(right - np.maximum(columns[None, :-1], cells[:-1, None]), 0)


def _string(runs: Sequence[int]) -> str:
    """As pycocotools' `rleToString`: differences of run lengths to the run before the last, 5 bits a letter."""
    letters = bytearray()
    for i, run in enumerate(runs):
        value, more = run - runs[i - 2] if i > 2 else run, True
        while more:
            group, value = value & 0x1F, value >> 5
            more = value != (-1 if group & 0x10 else 0)
            letters.append((group | 0x20 if more else group) + 48)
    return letters.decode("ascii")
