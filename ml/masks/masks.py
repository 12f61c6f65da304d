"""The masks of one image as COCO run lengths; no operation but `dense` ever decodes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.masks import algebra, codec, points, polygons
from ml.masks.coverage import coverage
from ml.masks.frame import Frame
from ml.masks.plain import PlainMasks


class MaskError(ValueError):
    """A mask is refused. `index`: which of the strings (-1: the size itself); `reason`: why."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"mask {index}: {reason}")
        self.index = index
        self.reason = reason


@dataclass(frozen=True)
class Masks(PlainMasks):
    """n masks of one image, with compiled inner loops."""

    @classmethod
    def parse(cls, counts: Sequence[object], size: Sequence[Any]) -> "Masks":
        """Decode COCO's compressed strings of an image of `size` (height, width).

        Raises:
            MaskError: the size, or the first string that does not describe a mask of this size.
        """
        masks, reasons = cls.sift(counts, size)
        for index, reason in enumerate(reasons):
            if reason:
                raise MaskError(index, reason)
        return masks

    @classmethod
    def sift(cls, counts: Sequence[object], size: Sequence[Any]) -> tuple["Masks", list[str]]:
        """Decode what is valid: those masks, and for every string the reason against it ("": valid).

        Raises:
            MaskError: the size is not two positive integers of at most 2**32 - 1 pixels together.
        """
        height, width = checked_size(size)
        runs, offsets, reasons = codec.decode(counts, height * width)
        return cls((height, width), runs, offsets), reasons

    @classmethod
    def from_text(cls, text: np.ndarray, starts: np.ndarray, ends: np.ndarray, size: Sequence[Any]) -> "Masks":
        """Decode compressed strings that lie at `starts` to `ends`, int64 [n], in `text` uint8, as `parse` does.

        Raises:
            MaskError: the size, or the first string that does not describe a mask of this size.
        """
        height, width = checked_size(size)
        runs, offsets, status = codec.decode_text(text, starts, ends, height * width)
        if status.any():
            index = int(status.astype(bool).argmax())
            raise MaskError(index, codec.REASONS[status[index]])
        return cls((height, width), runs, offsets)

    @classmethod
    def from_dense(cls, array: np.ndarray) -> "Masks":
        """Encode dense masks, bool [n, h, w]."""
        n, height, width = array.shape
        checked_size((height, width))
        columns = np.ascontiguousarray(array.astype(bool, copy=False).transpose(0, 2, 1)).reshape(n, height * width)
        return cls((height, width), *algebra.runs(columns))

    @classmethod
    def from_polygons(cls, shapes: Sequence[Sequence[Sequence[float]]], size: Sequence[Any]) -> "Masks":
        """Encode COCO polygons: shape i is a list of outlines [x0, y0, x1, y1, ...] in pixels, and becomes mask i.

        Raises:
            MaskError: the size, or the first shape with an outline that is not three or more finite corners.
        """
        height, width = checked_size(size)
        masks = [cls._from_outlines(index, shape, (height, width)) for index, shape in enumerate(shapes)]
        return cls.concatenate(masks, (height, width))

    @classmethod
    def _from_outlines(cls, index: int, shape: Sequence[Sequence[float]], size: tuple[int, int]) -> "Masks":
        if fault := _outline_fault(shape):
            raise MaskError(index, fault)
        runs = [polygons.rasterize(np.array(outline, np.float64).reshape(-1, 2), *size) for outline in shape]
        pieces = cls(size, np.concatenate(runs), np.cumsum([0, *map(len, runs)], dtype=np.int64))
        return pieces if len(runs) == 1 else pieces.union()

    def to_strings(self) -> list[str]:
        """COCO's compressed strings, byte for byte what pycocotools writes for these run lengths."""
        return codec.encode(self.counts, self.offsets)

    def select(self, indices: Any) -> "Masks":
        """The masks at `indices` (integers or a bool [n]), in that order."""
        chosen = np.arange(len(self))[np.asarray(indices, dtype=None if len(indices) else np.int64)]
        return Masks(self.size, *algebra.take(self.counts, self.offsets, chosen))

    def areas(self) -> np.ndarray:
        """Pixels of each mask: int64 [n]."""
        return algebra.areas(self.counts, self.offsets)

    def _extents(self) -> np.ndarray:
        return algebra.extents(self.counts, self.offsets, self.size[0])

    def intersection(self, other: PlainMasks) -> np.ndarray:
        """Common pixels of each pair: int64 [n, m].

        Raises:
            ValueError: the two are not of one size.
        """
        if self.size != other.size:
            raise ValueError(f"masks of size {self.size} and {other.size} do not share pixels")
        pair = (self.counts, self.offsets), (other.counts, other.offsets)
        return algebra.intersection(*pair, self.size[0], self is other)

    def union(self) -> "Masks":
        """The union of all masks, as a set of one."""
        runs = algebra.union(self.counts, self.offsets, self.size[0] * self.size[1])
        return Masks(self.size, runs, np.array([0, len(runs)], dtype=np.int64))

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Which masks hold which points, x and y in pixels [k, 2]: bool [n, k]; outside the image: none."""
        x, y = np.floor(np.asarray(xy, np.float64).reshape(-1, 2)).T
        inside = (x >= 0) & (x < self.size[1]) & (y >= 0) & (y < self.size[0])
        pixels = np.where(inside, x * self.size[0] + y, 0).astype(np.int64)
        return points.holds(*algebra.spans(self.counts, self.offsets), pixels) & inside

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Points drawn evenly from the pixels of each mask: float64 [n, count, 2], x and y of pixels' middles.

        Raises:
            ValueError: a mask is empty.
        """
        areas = self.areas()
        if not areas.all():
            raise ValueError(f"mask {int(areas.argmin())} is empty: no point lies in it")
        ranks = rng.integers(0, areas[:, None], (len(self), count))
        x, y = np.divmod(points.nth(*algebra.spans(self.counts, self.offsets), ranks), self.size[0])
        return np.stack([x, y], axis=-1) + 0.5

    def coverage(self, grid: tuple[int, int], frame: Frame) -> np.ndarray:
        """The exact covered fraction of each cell of an h x w grid over SAM's frame: float32 [n, h, w]."""
        return coverage(self.counts, self.offsets, self.size, grid, frame)


def validate(counts: object, size: Sequence[Any]) -> None:
    """Check one string without keeping it.

    Raises:
        MaskError: it does not describe a mask of `size` (height, width).
    """
    Masks.parse([counts], size)


def checked_size(size: Sequence[Any]) -> tuple[int, int]:
    """Height and width as plain integers.

    Raises:
        MaskError: they are not two positive integers, or too many pixels.
    """
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(map(_is_integer, size)):
        raise MaskError(-1, "size is not [height, width] in integers")
    height, width = int(size[0]), int(size[1])
    if height < 1 or width < 1 or height * width > codec.MAX_PIXELS:
        raise MaskError(-1, f"size {height} x {width} is not between 1 and {codec.MAX_PIXELS} pixels")
    return height, width


def _outline_fault(shape: object) -> str:
    """What is wrong with the outlines of one shape ("": nothing)."""
    if not isinstance(shape, (list, tuple)) or not shape:
        return "not a list of outlines"
    for outline in shape:
        if not isinstance(outline, (list, tuple)) or len(outline) < 6 or len(outline) % 2:
            return "an outline is not three or more x, y pairs"
        if not all(type(value) in (int, float) and abs(value) <= polygons.REACH for value in outline):
            return f"a corner that is not two numbers within {polygons.REACH:.0f} pixels"
    return ""


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
