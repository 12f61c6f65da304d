"""The tokens of SA-1B's JSON in compiled code: white space, brackets, the sixteen keys, numbers.

Every function takes the bytes and a position, uint64, and gives the position after what it read, LOST where something
else stands there; the NUL at the end of each text is valid nowhere.
"""

import numpy as np

from ml.compute.compiled import bare, inlined
from ml.sa1b.shards.runs import LOST, ONE

# Integers up to here are exact as doubles, as are powers of ten to 10**22: their quotient is rounded only once.
EXACT = 2**53
DIGITS = np.uint64(18)
SPLIT = 2.0**27 + 1  # Dekker: cuts a double into halves whose products are exact
SLACK = 2.0**-40  # far more than the relative error of a quotient's correction
KEYS = ["image_id", "width", "height", "file_name", "id", "segmentation", "bbox", "area", "predicted_iou"]
KEYS += ["stability_score", "point_coords", "crop_box", "size", "counts", "image", "annotations"]
IMAGE_ID, WIDTH, HEIGHT, FILE_NAME, ID, SEGMENTATION, BBOX, AREA, IOU = range(9)
STABILITY, POINTS, CROP, SIZE, COUNTS, IMAGE, ANNOTATIONS = range(9, 16)
ANY_IMAGE = 1 << IMAGE_ID | 1 << WIDTH | 1 << HEIGHT | 1 << FILE_NAME
ANY_MASK = 1 << ID | 1 << SEGMENTATION | 1 << BBOX | 1 << AREA | 1 << IOU | 1 << STABILITY | 1 << POINTS | 1 << CROP
LONGEST = np.uint64(16)
LETTERS = np.array([list(key.ljust(16).encode()) for key in KEYS], np.uint8)
LENGTHS = np.array([len(key) for key in KEYS])
SLOTS = 32
KEY_AT = np.zeros(SLOTS, np.int64)  # a key by its length and first letter, which no two share
KEY_AT[[(7 * len(key) + ord(key[0])) % SLOTS for key in KEYS]] = range(len(KEYS))
TENS = 10.0 ** np.arange(int(DIGITS) + 1)


@inlined
def numbers(raw, at, out, first, count):  # type: ignore[no-untyped-def]
    """Past a list of `count` numbers, which go to `out[first:]`."""
    at = token(raw, at, 91)
    for k in range(count):
        at = double(raw, space(raw, at), out, first + k)
        at = token(raw, at, 93 if k == count - 1 else 44)
    return at


@inlined
def whole(raw, at, out, index):  # type: ignore[no-untyped-def]
    """Past an integer for `out[index]`."""
    at, value, scale, _ = number(raw, at)
    out[index] = value
    return at if scale == 0 else LOST


@inlined
def double(raw, at, out, index):  # type: ignore[no-untyped-def]
    """Past a number for `out[index]`."""
    at, value, scale, negative = number(raw, at)
    if at > LOST:
        if value <= EXACT:
            rounded = value / TENS[scale]
        else:
            rounded = _quotient(value, TENS[scale])
            if not 0 < rounded < EXACT:  # the careful parser refuses 2**53 and more
                return LOST
        out[index] = -rounded if negative else rounded
    return at


@bare
def _quotient(value, ten):  # type: ignore[no-untyped-def]
    """An integer below 2**60 by a power of ten, rounded as Python rounds it; -1 where that is too close to call.

    The quotient of the rounded integer is corrected by what it leaves over, which Dekker's product gives exactly
    (Numerische Mathematik 18, 1971).
    """
    high = float(value)
    low = float(value - np.int64(high))
    first = high / ten
    cut, cut_ten = first * SPLIT, ten * SPLIT
    a, b = cut - (cut - first), cut_ten - (cut_ten - ten)
    product = first * ten
    error = ((a * b - product) + a * (ten - b) + (first - a) * b) + (first - a) * (ten - b)
    correction = ((high - product) - error + low) / ten
    rounded = first + correction * (1 - SLACK)
    return rounded if rounded == first + correction * (1 + SLACK) else -1.0


@inlined
def number(raw, at):  # type: ignore[no-untyped-def]
    """Past a number without exponent, its digits as an integer, how many of them are decimals, and its sign.

    Integers are given with their sign, and zero has none.
    """
    negative = raw[at] == 45
    if negative:
        at += ONE
    first, value, scale = at, np.int64(0), np.int64(0)
    while 48 <= raw[at] <= 57 and at - first <= DIGITS:
        value = 10 * value + raw[at] - 48
        at += ONE
    whole = at - first
    if whole == 0 or (raw[first] == 48 and whole > ONE):
        return LOST, value, scale, negative
    if raw[at] == 46:
        at += ONE
        point = at
        while 48 <= raw[at] <= 57 and whole + (at - point) <= DIGITS:
            value = 10 * value + raw[at] - 48
            at += ONE
        scale = np.int64(at - point)
        if scale == 0:
            return LOST, value, scale, negative
    # Too many digits; or rare: the careful parser knows about -0 and negative ids.
    if whole + np.uint64(scale) > DIGITS or (negative and (value == 0 or scale == 0)):
        return LOST, value, scale, negative
    return at, value, scale, negative


@inlined
def key_at(raw, at):  # type: ignore[no-untyped-def]
    """Past a known key and its colon, and which of KEYS it is."""
    first = token(raw, at, 34)
    end = first
    while raw[end] != 34 and raw[end] != 0 and end - first < LONGEST:
        end += ONE
    length = np.int64(end - first)
    key = KEY_AT[(7 * length + raw[first]) % SLOTS]
    if LENGTHS[key] == length and raw[end] == 34 and _same(raw, first, LETTERS[key], length):
        return token(raw, end + ONE, 58), key
    return LOST, key


@inlined
def _same(raw, start, letters, length):  # type: ignore[no-untyped-def]
    for k in range(length):  # noqa: SIM110 (numba has no fast generators)
        if raw[start + np.uint64(k)] != letters[k]:
            return False
    return True


@inlined
def next_at(raw, at, closing):  # type: ignore[no-untyped-def]
    """Past a comma (more follows) or the closing bracket."""
    at = space(raw, at)
    if raw[at] == 44 or raw[at] == closing:
        return at + ONE, raw[at] == 44
    return LOST, False


@inlined
def token(raw, at, letter):  # type: ignore[no-untyped-def]
    """Past white space and one letter."""
    at = space(raw, at)
    return at + ONE if raw[at] == letter else LOST


@inlined
def space(raw, at):  # type: ignore[no-untyped-def]
    """Past white space."""
    while raw[at] == 32 or raw[at] == 10 or raw[at] == 13 or raw[at] == 9:
        at += ONE
    return at
