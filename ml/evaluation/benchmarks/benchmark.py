"""What a benchmark reader returns: examples, regions that belong to the input, and what was refused."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ml.masks import MaskError, Masks

IMAGE_FOLDERS = ("images/train2014", "images/mscoco/images/train2014", "train2014", "images", ".")  # of RefCOCO


class RefusedError(Exception):
    """A row is not taken: which of its fields, the value found, and why."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.value, self.reason = field, value, reason


@dataclass(frozen=True)
class Example:
    """A question to an image, and its answer.

    Attributes:
        query_id: unique in its benchmark.
        image: path of the image relative to the benchmark's folder; "" asks the question of every image there.
        size: (height, width) the annotations claim; None where they do not say.
        kind: kind of expression (attribute, relation, ...) or type of phrase (people, clothing, ...).
        truth: the answer's columns, for example boxes (xywh, pixels) and counts (COCO RLE at the image's size).
    """

    query_id: str
    split: str
    image: str
    size: tuple[int, int] | None
    text: str
    kind: str
    truth: dict[str, Any]


@dataclass(frozen=True)
class Reject:
    """A row that a reader refused, and why."""

    item: str
    field: str
    value: str
    reason: str


@dataclass
class Benchmark:
    """All of one benchmark.

    Attributes:
        images: every image of the benchmark (relative path -> (height, width) or None), also those without examples.
        answers: truth that is no example's own: rows of {"query_id", ...}.
        regions: rows of {"image", "counts"}: masks that belong to the input.
        region_truth: rows of {"image", ...}: what is known of those masks.
        lost: how many questions the refused rows take along; where all are asked of every image, see `worth`.
    """

    name: str
    examples: list[Example] = field(default_factory=list)
    images: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    regions: list[dict[str, Any]] = field(default_factory=list)
    region_truth: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[Reject] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)  # sound rows that the protocol does not score, by reason
    lost: int = 0

    def refuse(self, item: object, name: str, value: object, reason: str, lost: int = 1) -> None:
        """Note a row that is left out, and how many questions are lost with it."""
        self.rejected.append(Reject(str(item), name, str(value)[:80], reason))
        self.lost += lost

    @property
    def asks_all(self) -> bool:
        """Whether every question is asked of every image: what can be lost is then images and annotations."""
        return any(example.image == "" for example in self.examples)

    def worth(self) -> Counter[str]:
        """Image -> its questions; where all are asked of every image, the image itself and its annotations."""
        if not self.asks_all:
            return Counter(example.image for example in self.examples)
        annotations = Counter(dict.fromkeys(self.images, 1))
        for row in self.answers:
            annotations[row["image"]] += len(row["boxes"])
        return annotations

    def leave_out(self, reason: str) -> None:
        """Count a sound row that the protocol does not score."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def find_image(folder: Path, candidates: Iterable[str]) -> str | None:
    """The first of the relative paths that is a file in `folder`."""
    return next((name for name in candidates if (folder / name).is_file()), None)


def check_box(box: Any, size: tuple[int, int] | None) -> str | None:
    """Why `box` is no xywh box in an image of (height, width); None where it is one. A pixel of slack for rounding."""
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(_is_number(v) for v in box)):
        return "not four numbers"
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return "empty box"
    if x < -1 or y < -1 or (size and (x + w > size[1] + 1 or y + h > size[0] + 1)):
        return "box outside the image"
    return None


def to_counts(segmentation: Any, size: tuple[int, int]) -> str:
    """COCO polygons or RLE as one compressed RLE string.

    Raises:
        ValueError: empty or malformed polygons, or an RLE that does not fit `size` (height, width).
    """
    height, width = size
    if isinstance(segmentation, dict):
        return _from_rle(segmentation, size)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("empty segmentation")
    for polygon in segmentation:
        good = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not good or not all(_is_number(v) and abs(v) < 1e6 for v in polygon):
            raise ValueError("a polygon is not 3 or more x, y pairs")
    merged = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return merged["counts"].decode()


def _from_rle(segmentation: dict[str, Any], size: tuple[int, int]) -> str:
    counts = segmentation.get("counts")
    if list(segmentation.get("size", [])) != list(size):
        raise ValueError(f"RLE size {segmentation.get('size')} is not the image's {list(size)}")
    if isinstance(counts, list):
        good = all(isinstance(v, int) and v >= 0 for v in counts) and sum(counts) == size[0] * size[1]
        if not good:
            raise ValueError("run lengths do not add up to the image")
        return coco_mask.frPyObjects({"counts": counts, "size": list(size)}, *size)["counts"].decode()
    if not isinstance(counts, str):
        raise ValueError("RLE without counts")
    try:
        Masks.parse([counts], size)
    except MaskError as error:
        raise ValueError(str(error)) from error
    return counts


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
