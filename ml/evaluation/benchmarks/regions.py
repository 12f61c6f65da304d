"""Boxes and masks as truth: inside their picture, not empty, and one the other's."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import Benchmark, Example, RefusedError
from ml.masks import MaskError, Masks
from ml.sa1b.reading.values import identity, items, number

SLACK = 2.0  # pixels by which an annotation's box may miss its segmentation: one is rounded, one counts pixels
MOST_SIDE = 65535  # pixels of any JPEG
Size = tuple[int, int]


def check_box(box: Any, size: Size | None) -> str | None:
    """Why `box` is no xywh box in an image of (height, width); None where it is one. A pixel of slack for rounding."""
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(_is_number(v) for v in box)):
        return "not four numbers"
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return "empty box"
    if x < -1 or y < -1 or x + w <= 0 or y + h <= 0:
        return "box outside the image"
    if size and (x + w > size[1] + 1 or y + h > size[0] + 1 or x >= size[1] or y >= size[0]):
        return "box outside the image"
    return None


def image_side(value: Any) -> int:
    """A height or width in pixels.

    Raises:
        ValueError: not one that an image can have.
    """
    if not 0 < (side := identity(value)) <= MOST_SIDE:
        raise ValueError(f"not 1 to {MOST_SIDE} pixels")
    return side


def region(annotation: dict[str, Any], size: Size) -> tuple[list[float], str]:
    """The box (xywh, pixels) and the mask (compressed RLE) of an annotation of an image of (height, width).

    Raises:
        RefusedError: one is malformed, empty or outside the image, or the box is not the mask's.
    """
    box, segmentation = annotation.get("bbox"), annotation.get("segmentation")
    if problem := check_box(box, size):
        raise RefusedError("bbox", box, problem)
    try:
        counts = to_counts(segmentation, size)
    except ValueError as error:
        raise RefusedError("segmentation", segmentation, str(error)) from error
    given = [number(value) for value in items(box)]
    if np.abs(_edges(given) - _edges(_own_box(segmentation, counts, size))).max() > SLACK:
        raise RefusedError("bbox", box, "not the box of its segmentation")
    return given, counts


def to_counts(segmentation: Any, size: Size) -> str:
    """COCO polygons or RLE as one compressed RLE string.

    Raises:
        ValueError: malformed polygons, one that lies outside the image, an RLE that does not fit `size` (height,
            width), or nothing is in the mask.
    """
    if isinstance(segmentation, dict):
        counts = _from_rle(segmentation, size)
    elif isinstance(segmentation, list) and segmentation:
        counts = _from_polygons(segmentation, size)
    else:
        raise ValueError("empty segmentation")
    if not coco_mask.area({"size": list(size), "counts": counts.encode()}):
        raise ValueError("empty mask")
    return counts


def hold_to_pictures(benchmark: Benchmark, sizes: dict[str, Size]) -> None:
    """Refuse the questions of which a box does not lie in the picture as it was read; `sizes`: (height, width).

    Raises:
        UserError: the boxes of a file are not given as [x, y, width, height] in pixels.
    """
    for split, path in benchmark.files.items():
        own = [example for example in benchmark.examples if example.split == split]
        _tell_format(path, [(box, sizes[example.image]) for example in own for box in example.truth["boxes"]])
    kept = []
    for example in benchmark.examples:
        boxes = example.truth.get("boxes", [])
        problems = (_problem(benchmark, example, box, sizes[example.image]) for box in boxes)
        if found := next((problem for problem in problems if problem), None):
            benchmark.refuse(example.query_id, "bbox", boxes, found)
        else:
            kept.append(example)
    benchmark.examples = kept


def _problem(benchmark: Benchmark, example: Example, box: list[float], size: Size) -> str | None:
    if example.split in benchmark.files and _is_share(box):
        return "box in 0..1; expected pixels"
    return check_box(box, size)


def _tell_format(path: Path, boxes: Iterable[tuple[list[float], Size]]) -> None:
    """Refuse a file whose boxes are shares of the picture, or corners, as a whole: no row of it would be right."""
    held = list(boxes)
    shares = sum(_is_share(box) for box, _ in held)
    sides = sum(check_box(box, size) is None for box, size in held)
    corners = sum(_is_corners(box, size) for box, size in held)
    wanted = "expected bbox as [x, y, width, height] in pixels"
    if 2 * shares > len(held):
        raise UserError(f"{path}: {shares} of {len(held)} boxes lie in 0..1; {wanted}: scale by the picture's size")
    if corners > sides:
        found = f"{corners} of {len(held)} boxes fit their pictures as corners [x0, y0, x1, y1], {sides} as sides"
        raise UserError(f"{path}: {found}; {wanted}: take x0 and y0 from x1 and y1")


def _is_share(box: list[float]) -> bool:
    return all(0 <= value <= 1 for value in box)


def _is_corners(box: list[float], size: Size) -> bool:
    x0, y0, x1, y1 = box
    return -1 <= x0 < x1 <= size[1] + 1 and -1 <= y0 < y1 <= size[0] + 1


def _from_polygons(polygons: list[Any], size: Size) -> str:
    height, width = size
    for polygon in polygons:
        good = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not good or not all(_is_number(value) for value in polygon):
            raise ValueError("a polygon is not 3 or more x, y pairs")
        left, top, right, bottom = _corners([polygon])
        if left < -SLACK or top < -SLACK or right > width + SLACK or bottom > height + SLACK:
            raise ValueError("a polygon outside the image")
    merged = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    return str(merged["counts"].decode())


def _from_rle(segmentation: dict[str, Any], size: Size) -> str:
    counts = segmentation.get("counts")
    if not isinstance(segmentation.get("size"), list) or segmentation["size"] != list(size):
        raise ValueError(f"RLE size {segmentation.get('size')} is not the image's {list(size)}")
    if isinstance(counts, list):
        good = all(type(v) is int and v >= 0 for v in counts) and sum(counts) == size[0] * size[1]
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


def _own_box(segmentation: Any, counts: str, size: Size) -> list[float]:
    """The box xywh around a segmentation: of polygons around their corners, since slim ones cover no whole pixel."""
    if isinstance(segmentation, dict):
        return [float(v) for v in coco_mask.toBbox({"size": list(size), "counts": counts.encode()})]
    left, top, right, bottom = _corners(segmentation)
    return [left, top, right - left, bottom - top]


def _corners(polygons: list[list[float]]) -> tuple[float, float, float, float]:
    xs, ys = ([value for polygon in polygons for value in polygon[axis::2]] for axis in (0, 1))
    return min(xs), min(ys), max(xs), max(ys)


def _edges(box: list[float]) -> np.ndarray:
    x, y, width, height = box
    return np.array([x, y, x + width, y + height])


def _is_number(value: Any) -> bool:
    try:
        number(value)
    except ValueError:
        return False
    return True
