"""SA-1B's JSON at the speed of its bytes: one compiled pass reads, checks and measures all masks of an image.

It accepts only what the careful parser (`annotations.parse`) would accept without a reject, and gives the same values;
for anything else (another key, an exponent, an escape in a name, a wrong area) it gives up, and the careful parser,
which knows every reason, reads the bytes again. Run lengths are never kept: a mask's area and box fall out while its
string is decoded, and are compared with those in the JSON.
"""

from dataclasses import dataclass

import numpy as np

from ml.masks.codec import GROUPS
from ml.masks.compiled import compiled

LEAST = 64  # bytes that an annotation takes at the very least: its keys alone are longer
# Integers up to here are exact as doubles, as are powers of ten to 10**22: their quotient is rounded only once.
EXACT = 2**53
DIGITS = 18
KEYS = ["image_id", "width", "height", "file_name", "id", "segmentation", "bbox", "area", "predicted_iou"]
KEYS += ["stability_score", "point_coords", "crop_box", "size", "counts", "image", "annotations"]
IMAGE_ID, WIDTH, HEIGHT, FILE_NAME, ID, SEGMENTATION, BBOX, AREA, IOU = range(9)
STABILITY, POINTS, CROP, SIZE, COUNTS, IMAGE, ANNOTATIONS = range(9, 16)
ANY_IMAGE = 1 << IMAGE_ID | 1 << WIDTH | 1 << HEIGHT | 1 << FILE_NAME
ANY_MASK = 1 << ID | 1 << SEGMENTATION | 1 << BBOX | 1 << AREA | 1 << IOU | 1 << STABILITY | 1 << POINTS | 1 << CROP
LENGTHS = np.array([len(key) for key in KEYS])
LETTERS = np.array([list(key.ljust(16).encode()) for key in KEYS], np.uint8)
TENS = 10.0 ** np.arange(DIGITS + 1)
BOX_SLACK = 1.0  # pixels, as in `annotations`
COLUMNS = 11  # of doubles: box, crop box (4 each), area, predicted IoU, stability score
GAVE_UP = -1


@dataclass(frozen=True)
class Scan:
    """All n masks of one image.

    Attributes:
        numbers: float64 [n, 11], box and crop box (xywh), area, predicted IoU, stability score.
        ids: int64 [n].
        points: float64 [p, 2], of all masks one after the other, mask i up to `point_ends[i]`.
        text: uint8, the masks' compressed counts one after the other, mask i up to `text_ends[i]`.
    """

    image_id: int
    width: int
    height: int
    file_name: str
    numbers: np.ndarray
    ids: np.ndarray
    points: np.ndarray
    point_ends: np.ndarray
    text: np.ndarray
    text_ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def scan(data: bytes) -> Scan | None:
    """Read one JSON; None: the careful parser is to read it."""
    most = len(data) // LEAST + 1
    head, name = np.zeros(3, np.int64), np.zeros(2, np.int64)
    numbers, ids = np.empty((most, COLUMNS)), np.empty(most, np.int64)
    points, point_ends = np.empty((len(data) // 4 + 1, 2)), np.empty(most, np.int64)
    text, text_ends = np.empty(len(data), np.uint8), np.empty(most, np.int64)
    inexact = np.empty((len(data) // 8 + 1, 4), np.int64)
    # A NUL is valid nowhere in JSON: it ends every loop without a look at the length.
    raw = np.frombuffer(data + b"\0", np.uint8)
    n, left = _scan(raw, head, name, numbers, ids, points, point_ends, text, text_ends, inexact)
    if n == GAVE_UP or len(np.unique(ids[:n])) != n:
        return None
    for row, column, start, end in inexact[:left].tolist():
        (numbers if column < COLUMNS else points)[row, column % COLUMNS] = float(data[start:end])
    ends, p = text_ends[:n].copy(), int(point_ends[n - 1]) if n else 0
    file_name = data[name[0] : name[1]].decode("ascii")
    kept = numbers[:n].copy(), ids[:n].copy(), points[:p].copy(), point_ends[:n].copy()
    return Scan(int(head[0]), int(head[1]), int(head[2]), file_name, *kept, text[: ends[-1] if n else 0].copy(), ends)


@compiled
def _scan(raw, head, name, numbers, ids, points, point_ends, text, text_ends, inexact):  # type: ignore[no-untyped-def]
    """The whole file: masks (or GAVE_UP) and numbers that are left to be rounded."""
    at, seen, n, left = _token(raw, 0, 123), 0, 0, 0
    while at > 0:
        at, key = _key(raw, at)
        if at < 0 or seen >> key & 1:
            break
        seen |= 1 << key
        if key == IMAGE:
            at = _image(raw, at, head, name)
        elif key == ANNOTATIONS and seen >> IMAGE & 1:  # the masks' size is known
            at, n, left = _masks(raw, at, head, numbers, ids, points, point_ends, text, text_ends, inexact)
        else:
            break
        at, more = _next(raw, at, 125)
        if at > 0 and not more:
            whole = _space(raw, at) == len(raw) - 1 and seen == 1 << IMAGE | 1 << ANNOTATIONS
            return (n, left) if whole else (GAVE_UP, 0)
    return GAVE_UP, 0


@compiled
def _image(raw, at, head, name):  # type: ignore[no-untyped-def]
    at, seen, more = _token(raw, at, 123), 0, True
    while at > 0 and more:
        at, key = _key(raw, at)
        if at < 0 or key > FILE_NAME or seen >> key & 1:
            return GAVE_UP
        seen |= 1 << key
        if key == FILE_NAME:
            at = _token(raw, at, 34)
            name[0] = at
            while at > 0 and raw[at] != 34:
                if raw[at] < 32 or raw[at] > 126 or raw[at] == 92:
                    return GAVE_UP
                at += 1
            name[1] = at
            at += 1
        else:
            at, value, scale, _ = _number(raw, _space(raw, at))
            if scale != 0 or (key != IMAGE_ID and not 0 < value < 2**16):
                return GAVE_UP
            head[key] = value
        at, more = _next(raw, at, 125)
    return at if seen == ANY_IMAGE and name[1] > name[0] else GAVE_UP


@compiled
def _masks(raw, at, head, numbers, ids, points, point_ends, text, text_ends, inexact):  # type: ignore[no-untyped-def]
    at, n, left, p, filled, more = _token(raw, at, 91), 0, 0, 0, 0, True
    box = np.zeros(4, np.int64)
    if at > 0 and raw[_space(raw, at)] == 93:
        return _space(raw, at) + 1, 0, 0
    while at > 0 and more:
        at, seen, inner, area = _token(raw, at, 123), 0, True, np.int64(0)
        first = left
        while at > 0 and inner:
            at, key = _key(raw, at)
            if at < 0 or seen >> key & 1:
                return GAVE_UP, 0, 0
            seen |= 1 << key
            if key == SEGMENTATION:
                at, filled, area = _segmentation(raw, at, head[2], head[1], text, filled, box)
            elif key == ID:
                at, value, scale, _ = _number(raw, _space(raw, at))
                ids[n] = value
                at = at if scale == 0 else GAVE_UP
            elif key == POINTS:
                at, p, left = _points(raw, at, points, p, inexact, left)
            elif key in (BBOX, CROP):
                at, left = _numbers(raw, at, numbers, n, 0 if key == BBOX else 4, 4, 0, inexact, left)
            elif key in (AREA, IOU, STABILITY):
                at, left = _double(raw, _space(raw, at), numbers, n, 8 + key - AREA, 0, inexact, left)
            else:
                return GAVE_UP, 0, 0
            at, inner = _next(raw, at, 125)
        if at < 0 or seen != ANY_MASK or not _fits(numbers[n], area, box, inexact[first:left]):
            return GAVE_UP, 0, 0
        point_ends[n], text_ends[n] = p, filled
        n += 1
        at, more = _next(raw, at, 93)
    return at, n, left


@compiled
def _fits(numbers, area, box, inexact):  # type: ignore[no-untyped-def]
    """Whether a mask's box and area are those in the JSON; boxes and areas that are still to be rounded are not."""
    for k in range(len(inexact)):
        if inexact[k, 1] < 4 or inexact[k, 1] == 8:
            return False
    for k in range(4):
        if abs(numbers[k] - box[k]) > BOX_SLACK:
            return False
    return numbers[8] == area


@compiled
def _segmentation(raw, at, height, width, text, filled, box):  # type: ignore[no-untyped-def]
    """Past {"size": [h, w], "counts": "..."}, the end of the text so far, the mask's area; fills in its box."""
    at, seen, more, area = _token(raw, at, 123), 0, True, np.int64(0)
    while at > 0 and more:
        at, key = _key(raw, at)
        if at < 0 or seen >> key & 1:
            return GAVE_UP, filled, area
        seen |= 1 << key
        if key == SIZE:
            at, h, scale, _ = _number(raw, _space(raw, _token(raw, at, 91)))
            at, w, other, _ = _number(raw, _space(raw, _token(raw, at, 44)))
            at = _token(raw, at, 93) if scale == 0 and other == 0 and h == height and w == width else GAVE_UP
        elif key == COUNTS:
            at, filled, area = _counts(raw, _token(raw, at, 34), height, width, text, filled, box)
        else:
            return GAVE_UP, filled, area
        at, more = _next(raw, at, 125)
    return at if seen == 1 << SIZE | 1 << COUNTS else GAVE_UP, filled, area


@compiled
def _counts(raw, at, height, width, text, filled, box):  # type: ignore[no-untyped-def]
    """Decode and measure a compressed string up to its quote, with every check of `codec.decode`."""
    pixels = np.int64(height) * width
    total, area, before, last, run = np.int64(0), np.int64(0), np.int64(0), np.int64(0), 0
    x, y = np.int64(0), np.int64(0)
    x0, y0, x1, y1 = np.int64(-1), np.int64(height), np.int64(0), np.int64(0)
    while at > 0 and raw[at] != 34:
        value, shift, more = np.int64(0), 0, True
        while more:
            group = np.int64(raw[at]) - 48
            if group < 0 or group > 63 or shift == 5 * GROUPS:
                return GAVE_UP, filled, area
            if group == 44:  # a backslash, which JSON doubles
                at += 1
                if raw[at] != 92:
                    return GAVE_UP, filled, area
            text[filled] = raw[at]
            filled += 1
            at += 1
            value |= (group & 0x1F) << shift
            shift += 5
            more = group & 0x20 != 0
            if not more:
                value -= (group & 0x10) << (shift - 4)
        value += before if run > 2 else 0
        if value < 0 or total + value > pixels:
            return GAVE_UP, filled, area
        before, last = last, value
        total += value
        if run & 1 and value > 0:
            area += value
            end = y + value
            x0 = x if x0 < 0 else x0
            y0 = np.int64(0) if end > height else min(y0, y)
            y1 = np.int64(height - 1) if end > height else max(y1, end - 1)
            x1 = x if end <= height else x + (end - 1) // height
        y += value
        if y >= height:
            x += 1 if y < 2 * height else y // height
            y = y - height if y < 2 * height else y % height
        run += 1
    box[0], box[1], box[2], box[3] = (x0, y0, x1 - x0, y1 - y0) if area else (0, 0, 0, 0)
    return at + 1 if total == pixels else GAVE_UP, filled, area


@compiled
def _points(raw, at, points, p, inexact, left):  # type: ignore[no-untyped-def]
    at, more = _token(raw, at, 91), True
    if at > 0 and raw[_space(raw, at)] == 93:
        return _space(raw, at) + 1, p, left
    while at > 0 and more:
        at, left = _numbers(raw, at, points, p, 0, 2, COLUMNS, inexact, left)
        p += 1
        at, more = _next(raw, at, 93)
    return at, p, left


@compiled
def _numbers(raw, at, out, row, column, count, tag, inexact, left):  # type: ignore[no-untyped-def]
    """Past a list of `count` numbers, which go to `out[row, column:]`."""
    at = _token(raw, at, 91)
    for k in range(count):
        at, left = _double(raw, _space(raw, at), out, row, column + k, tag, inexact, left)
        at = _token(raw, at, 93 if k == count - 1 else 44)
    return at, left


@compiled
def _double(raw, start, out, row, column, tag, inexact, left):  # type: ignore[no-untyped-def]
    """Past a number for `out[row, column]`; one that a division would not round goes to `inexact`, with `tag`."""
    at, value, scale, negative = _number(raw, start)
    if at > 0:
        if value <= EXACT:
            out[row, column] = (-value if negative else value) / TENS[scale]
        elif at - start - scale > 15:  # might be 2**53 or more, which the careful parser refuses
            return GAVE_UP, left
        else:
            inexact[left, 0], inexact[left, 1], inexact[left, 2], inexact[left, 3] = row, column + tag, start, at
            left += 1
    return at, left


@compiled
def _number(raw, at):  # type: ignore[no-untyped-def]
    """Past a number without exponent, its digits as an integer, how many of them are decimals, and its sign.

    Integers are given with their sign, and zero has none.
    """
    if at < 0:
        return GAVE_UP, np.int64(0), 0, False
    negative = raw[at] == 45
    at += negative
    first, value, scale = at, np.int64(0), 0
    while 48 <= raw[at] <= 57:
        value = 10 * value + raw[at] - 48
        at += 1
        if at - first > DIGITS:
            return GAVE_UP, np.int64(0), 0, False
    whole = at - first
    if whole == 0 or (raw[first] == 48 and whole > 1):
        return GAVE_UP, np.int64(0), 0, False
    if raw[at] == 46:
        at += 1
        while 48 <= raw[at] <= 57:
            value = 10 * value + raw[at] - 48
            at += 1
            scale += 1
            if whole + scale > DIGITS:
                return GAVE_UP, np.int64(0), 0, False
        if scale == 0:
            return GAVE_UP, np.int64(0), 0, False
    if negative and (value == 0 or scale == 0):  # rare: the careful parser knows about -0 and negative ids
        return GAVE_UP, np.int64(0), 0, False
    return at, value, scale, negative


@compiled
def _key(raw, at):  # type: ignore[no-untyped-def]
    """Past a known key and its colon, and which of KEYS it is."""
    start = _token(raw, at, 34)
    if start > 0:
        at = start
        while raw[at] != 34 and raw[at] != 0 and at - start < 16:
            at += 1
        for key in range(len(LENGTHS)):
            if LENGTHS[key] == at - start and raw[at] == 34 and _same(raw, start, LETTERS[key], at - start):
                return _token(raw, at + 1, 58), key
    return GAVE_UP, 0


@compiled
def _same(raw, start, letters, length):  # type: ignore[no-untyped-def]
    for k in range(length):  # noqa: SIM110 (numba has no fast generators)
        if raw[start + k] != letters[k]:
            return False
    return True


@compiled
def _next(raw, at, closing):  # type: ignore[no-untyped-def]
    """Past a comma (more follows) or the closing bracket."""
    if at > 0:
        at = _space(raw, at)
        if raw[at] == 44 or raw[at] == closing:
            return at + 1, raw[at] == 44
    return GAVE_UP, False


@compiled
def _token(raw, at, letter):  # type: ignore[no-untyped-def]
    """Past white space and one letter."""
    at = _space(raw, at)
    return at + 1 if at >= 0 and raw[at] == letter else GAVE_UP


@compiled
def _space(raw, at):  # type: ignore[no-untyped-def]
    if at >= 0:
        while raw[at] == 32 or raw[at] == 10 or raw[at] == 13 or raw[at] == 9:
            at += 1
    return at
