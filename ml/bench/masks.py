"""Mask algebra on run lengths against pycocotools and OpenCV, on the masks of one image."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco

from ml.bench.files import read_pair
from ml.bench.measure import Row, result, seconds, times
from ml.masks import Frame, Masks

FRAME = Frame(None, False, 1024)
SLOW, FAST = 2, 30  # repeats
DECODE = "pycocotools decode + OpenCV INTER_AREA"


def bench(path: Path | None = None) -> dict[str, Any]:
    """Measure on the masks of a JSON of SA-1B, or on a toytown scene at SA-1B's size.

    Raises:
        UserError: the file can't be read.
    """
    cv2.setNumThreads(1)  # one core each
    pair = read_pair(path)
    counts, size = pair.counts, pair.size
    masks = Masks.parse(counts, size)
    rles = [{"size": list(size), "counts": text} for text in counts]
    case = f"{len(masks)} masks of {size[0]} x {size[1]}"
    rows = [_coverage(masks, rles, side, case) for side in (64, 256)]
    return result("masks", rows + _algebra(masks, counts, rles, case))


def _coverage(masks: Masks, rles: list[dict[str, Any]], side: int, case: str) -> Row:
    ours = seconds(lambda: masks.coverage((side, side), FRAME), FAST)
    height, width = (round(edge * side / FRAME.out) for edge in FRAME.resized(masks.size))

    def peer(rle: dict[str, Any]) -> np.ndarray:
        columns = coco.decode(rle).T * 255  # transposed, as it lies in memory: twice as fast as the other way
        return cv2.resize(columns, (height, width), interpolation=cv2.INTER_AREA)

    def peers() -> None:  # mask by mask: all at once would take hundreds of megabytes
        for rle in rles:
            peer(rle)

    each = 1e6 / len(masks)
    unit = "microseconds a mask"
    return times(f"coverage {side} x {side}, {case}", ours * each, seconds(peers, SLOW) * each, DECODE, unit)


def _algebra(masks: Masks, counts: list[str], rles: list[dict[str, Any]], case: str) -> list[Row]:
    """Pycocotools parses the strings in each call; ours is measured with that and, where it is parsed once, without."""
    crowd = [False] * len(rles)
    iou = seconds(lambda: coco.iou(rles, rles, crowd), FAST)

    def row(name: str, ours: Any, peer: float, peer_name: str) -> Row:
        return times(f"{name}, {case}", seconds(ours, FAST) * 1e3, peer * 1e3, f"pycocotools {peer_name}", "ms")

    def parsed() -> Masks:
        return Masks.parse(counts, masks.size)

    n = len(masks)
    return [
        row(f"IoU matrix {n} x {n}", lambda: masks.iou(masks), iou, "iou"),
        row(f"IoU matrix {n} x {n} from strings", lambda: (again := parsed()).iou(again), iou, "iou"),
        row("areas from strings", lambda: parsed().areas(), seconds(lambda: coco.area(rles), FAST), "area"),
        row("boxes from strings", lambda: parsed().coco_boxes(), seconds(lambda: coco.toBbox(rles), FAST), "toBbox"),
        row("union from strings", lambda: parsed().union(), seconds(lambda: coco.merge(rles), FAST), "merge"),
    ]
