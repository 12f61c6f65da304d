"""SA-1B's JSON at the speed of its bytes: one compiled pass reads, checks and measures all masks of many images.

It accepts only what the careful parser (`annotations.parse`) would accept without a reject, and gives the same values;
for anything else (another key, an exponent, an escape in a name, a wrong area) it gives up on that image, and the
careful parser, which knows every reason, reads its bytes again. What it reads goes into columns of the whole batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ml.compute.compiled import bare, compiled, inlined
from ml.sa1b.shards.runs import GAVE_UP, LOST, MOST_PIXELS, ONE, decode, measure
from ml.sa1b.shards.tokens import (
    ANNOTATIONS,
    ANY_IMAGE,
    ANY_MASK,
    AREA,
    BBOX,
    COUNTS,
    CROP,
    FILE_NAME,
    ID,
    IMAGE,
    IMAGE_ID,
    IOU,
    POINTS,
    SEGMENTATION,
    SIZE,
    STABILITY,
    double,
    key_at,
    next_at,
    number,
    numbers,
    space,
    token,
    whole,
)

LEAST = 64  # bytes that an annotation takes at the very least: its keys alone are longer
LEAST_POINT = 5  # [1,2]
BOX_SLACK = 1.0  # pixels, as in `annotations`


class Columns(NamedTuple):
    """A batch's values: of images (heads, names, rows, understood) and of masks.

    heads: int64 [images, 3], id, width, height. names: int64 [images, 2], start and end of the file's name in the
    bytes. rows: int64 [images + 1], where each image's masks begin. understood: bool [images].
    ids, areas: int64 [n]. ious, stabilities: float64 [n]. boxes, crops: float64 [4 n], xywh. points: float64 [2 p].
    point_ends, text_ends: int32 [n + 1], where each mask's points, and its counts in `text`, begin and the last ends.
    """

    heads: np.ndarray
    names: np.ndarray
    rows: np.ndarray
    understood: np.ndarray
    ids: np.ndarray
    areas: np.ndarray
    ious: np.ndarray
    stabilities: np.ndarray
    boxes: np.ndarray
    crops: np.ndarray
    points: np.ndarray
    point_ends: np.ndarray
    text: np.ndarray
    text_ends: np.ndarray


@dataclass(frozen=True)
class Texts:
    """JSONs one after the other, a NUL before and after each: valid nowhere in JSON, it ends every loop.

    Attributes:
        data: uint8.
        bounds: uint64 [images + 1], where each begins.
    """

    data: np.ndarray
    bounds: np.ndarray

    @classmethod
    def join(cls, texts: Sequence[bytes]) -> "Texts":
        """Of bytes in memory."""
        bounds = np.cumsum([1, *(len(text) + 1 for text in texts)], dtype=np.uint64)
        return cls(np.frombuffer(b"\0".join([b"", *texts, b""]), np.uint8), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.bounds[index] : self.bounds[index + 1] - ONE].tobytes()


def scan(texts: Texts) -> Columns:
    """Read the JSONs of a batch; those that are not `understood` are left to the careful parser."""
    images, length = len(texts), len(texts.data)
    masks, points = length // LEAST + 1, length // LEAST_POINT + 1
    heads = np.zeros((images, 3), np.int64), np.zeros((images, 2), np.int64)
    numbers = np.empty(masks, np.int64), np.empty(masks, np.int64), np.empty(masks), np.empty(masks)
    lists = np.empty(4 * masks), np.empty(4 * masks), np.empty(2 * points), np.zeros(masks + 1, np.int32)
    text = np.empty(length, np.uint8), np.zeros(masks + 1, np.int32)
    out = Columns(*heads, np.zeros(images + 1, np.int64), np.zeros(images, np.bool_), *numbers, *lists, *text)
    ends = np.empty(int(np.diff(texts.bounds).max(initial=0)), np.int32)
    _scan(texts.data, texts.bounds, out, ends, np.zeros(4, np.int64))
    _refuse_repeats(out.ids, out.rows, out.understood)
    return _cut(out)


def _cut(out: Columns) -> Columns:
    """The columns without the room that was not needed."""
    n = int(out.rows[-1])
    masks = {name: getattr(out, name)[:n] for name in ("ids", "areas", "ious", "stabilities")}
    lists = {name: getattr(out, name)[: 4 * n] for name in ("boxes", "crops")}
    ends = {name: getattr(out, name)[: n + 1] for name in ("point_ends", "text_ends")}
    points, text = out.points[: 2 * out.point_ends[n]], out.text[: out.text_ends[n]]
    return out._replace(**masks, **lists, **ends, points=points, text=text)


@compiled
def _refuse_repeats(ids, rows, understood):  # type: ignore[no-untyped-def]
    """Images with two masks of one id are not understood; their rows stay."""
    for image in range(len(understood)):
        ordered = np.sort(ids[rows[image] : rows[image + 1]])
        for k in range(1, len(ordered)):
            if ordered[k] == ordered[k - 1]:
                understood[image] = False


@bare
def _scan(raw, bounds, out, ends, box):  # type: ignore[no-untyped-def]
    """All images; one that is not understood leaves nothing behind, since the next one starts where it did."""
    for image in range(len(bounds) - 1):
        first = out.rows[image]
        n = _file(raw, bounds[image], bounds[image + 1] - ONE, image, out, ends, box)
        out.understood[image] = n != GAVE_UP
        out.rows[image + 1] = n if out.understood[image] else first


@bare
def _file(raw, start, end, image, out, ends, box):  # type: ignore[no-untyped-def]
    """One JSON, raw[start:end]: the batch's masks after it, or GAVE_UP."""
    at, seen, n = token(raw, start, 123), 0, 0
    while at > LOST:
        at, key = key_at(raw, at)
        if at == LOST or seen >> key & 1:
            break
        seen |= 1 << key
        if key == IMAGE:
            at = _image(raw, at, out.heads[image], out.names[image])
        elif key == ANNOTATIONS and seen >> IMAGE & 1:  # the masks' size is known
            at, n = _masks(raw, at, out.heads[image], out.rows[image], out, ends, box)
        else:
            break
        at, more = next_at(raw, at, 125)
        if at > LOST and not more:
            whole = space(raw, at) == end and seen == 1 << IMAGE | 1 << ANNOTATIONS
            return n if whole else GAVE_UP
    return GAVE_UP


@bare
def _image(raw, at, head, name):  # type: ignore[no-untyped-def]
    at, seen, more = token(raw, at, 123), 0, True
    while at > LOST and more:
        at, key = key_at(raw, at)
        if at == LOST or key > FILE_NAME or seen >> key & 1:
            return LOST
        seen |= 1 << key
        if key == FILE_NAME:
            at = token(raw, at, 34)
            name[0] = at
            while raw[at] != 34:
                if raw[at] < 32 or raw[at] > 126 or raw[at] == 92:
                    return LOST
                at += ONE
            name[1] = at
            at += ONE
        else:
            at, value, scale, _ = number(raw, space(raw, at))
            if scale != 0 or (key != IMAGE_ID and not 0 < value < 2**16):
                return LOST
            head[key] = value
        at, more = next_at(raw, at, 125)
    return at if seen == ANY_IMAGE and name[1] > name[0] and head[1] * head[2] < MOST_PIXELS else LOST


@bare
def _masks(raw, at, head, n, out, ends, box):  # type: ignore[no-untyped-def]
    """Past the list of masks, and how many the batch has then; mask n goes to row n."""
    at, more = token(raw, at, 91), True
    if raw[space(raw, at)] == 93:
        return space(raw, at) + ONE, n
    while at > LOST and more:
        at, area = _mask(raw, at, head, n, out, ends, box)
        if at == LOST or out.areas[n] != area or not _near(box, out.boxes, 4 * n):
            return LOST, 0
        n += 1
        at, more = next_at(raw, at, 93)
    return at, n


@bare
def _mask(raw, at, head, n, out, ends, box):  # type: ignore[no-untyped-def]
    """Past one annotation, and the area of its mask, whose box goes to `box`."""
    at, seen, more, area = token(raw, at, 123), 0, True, np.int64(0)
    while at > LOST and more:
        at, key = key_at(raw, at)
        if at == LOST or seen >> key & 1:
            return LOST, area
        seen |= 1 << key
        if key == SEGMENTATION:
            at, out.text_ends[n + 1], area = _segmentation(raw, at, head, out.text, out.text_ends[n], ends, box)
        elif key in (ID, AREA):
            at = whole(raw, space(raw, at), out.ids if key == ID else out.areas, n)
        elif key == POINTS:
            at, out.point_ends[n + 1] = _points(raw, at, out.points, out.point_ends[n])
        elif key in (BBOX, CROP):
            at = numbers(raw, at, out.boxes if key == BBOX else out.crops, 4 * n, 4)
        elif key in (IOU, STABILITY):
            at = double(raw, space(raw, at), out.ious if key == IOU else out.stabilities, n)
        else:
            return LOST, area
        at, more = next_at(raw, at, 125)
    return at if seen == ANY_MASK else LOST, area


@inlined
def _near(box, boxes, first):  # type: ignore[no-untyped-def]
    """Whether a mask's box is the one in the JSON."""
    for k in range(4):  # noqa: SIM110
        if abs(boxes[first + k] - box[k]) > BOX_SLACK:
            return False
    return True


@inlined
def _segmentation(raw, at, head, text, filled, ends, box):  # type: ignore[no-untyped-def]
    """Past {"size": [h, w], "counts": "..."}, the end of the text so far, the mask's area; fills in its box."""
    seen, more, area = 0, True, np.int64(0)
    at = token(raw, at, 123)
    while at > LOST and more:
        at, key = key_at(raw, at)
        if at == LOST or seen >> key & 1:
            return LOST, filled, area
        seen |= 1 << key
        if key == SIZE:
            at, height, scale, _ = number(raw, space(raw, token(raw, at, 91)))
            at, width, other, _ = number(raw, space(raw, token(raw, at, 44)))
            right = scale == 0 and other == 0 and height == head[2] and width == head[1]
            at = token(raw, at, 93) if right else LOST
        elif key == COUNTS:
            at = token(raw, at, 34)
            at, runs, filled = decode(raw, at, ends, text, filled)
            area = measure(ends[: np.int64(runs)], head[2], head[1] * head[2], box) if raw[at] == 34 else GAVE_UP
            at = at + ONE if area >= 0 else LOST
        else:
            return LOST, filled, area
        at, more = next_at(raw, at, 125)
    return at if seen == 1 << SIZE | 1 << COUNTS else LOST, filled, area


@inlined
def _points(raw, at, points, p):  # type: ignore[no-untyped-def]
    at, more = token(raw, at, 91), True
    if raw[space(raw, at)] == 93:
        return space(raw, at) + ONE, p
    while at > LOST and more:
        at = numbers(raw, at, points, 2 * p, 2)
        p += 1
        at, more = next_at(raw, at, 93)
    return at, p
