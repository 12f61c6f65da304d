"""A mask's string inside a JSON: unescaped, decoded, checked and measured without leaving compiled code.

The format is that of `ml.masks.codec`. Only where each run ends is kept, and only until its mask is measured. All is
done in 32 bits, so that `measure` becomes vector instructions: images stay below MOST_PIXELS and numbers below 30
bits, hence the first run that is wrong shows as a negative or too large end before anything can overflow.
"""

import numpy as np

from ml.compute.compiled import bare

MOST_PIXELS = 2**29
GAVE_UP = np.int64(-1)  # in the place of an area or a number of masks
LOST = np.uint64(0)  # in the place of a position: there lies a NUL, which nothing accepts
# Unsigned indices spare the test for a negative index, unsigned numbers one of the two comparisons of a range.
ONE, TWO = np.uint64(1), np.uint64(2)
FIRST_LETTER, SIGN, LOW, MORE, END = (np.uint32(value) for value in (48, 16, 31, 32, 64))
BITS, MOST_BITS, BACKSLASH = np.uint32(5), np.uint32(25), np.uint32(92 - 48)


@bare
def decode(raw, start, ends, text, filled):  # type: ignore[no-untyped-def]
    """Read a string up to what can't belong to it, which should be its quote.

    Args:
        raw: uint8, the JSON; start: the string's first letter.
        ends: int32, gets the end of each run in pixels, zeros first.
        text: uint8, gets the unescaped string at `filled`.

    Returns:
        where the string ends in `raw` (GAVE_UP: not readable), the number of runs, where it ends in `text`.
    """
    at, copied, runs = start, start, np.uint64(0)
    before, last, end = np.int32(0), np.int32(0), np.int32(0)
    while True:
        group = np.uint32(raw[at]) - FIRST_LETTER
        if group < MORE:  # most numbers are one group
            run = np.int32((group ^ SIGN) - SIGN)
        elif group >= END:
            return at, runs, copy(raw, copied, at, text, filled)
        else:
            value, shift = np.uint32(0), np.uint32(0)
            while MORE <= group < END and shift < MOST_BITS:
                if group == BACKSLASH:  # JSON doubles it
                    at += ONE
                    if raw[at] != 92:
                        return LOST, runs, filled
                    filled = copy(raw, copied, at, text, filled)
                    copied = at + ONE
                at += ONE
                value |= (group & LOW) << shift
                shift += BITS
                group = np.uint32(raw[at]) - FIRST_LETTER
            if group >= MORE:
                return LOST, runs, filled
            run = np.int32(value | ((group ^ SIGN) - SIGN) << shift)
        at += ONE
        run = np.int32(run + before)  # from the fourth on the difference to the run two before it
        before, last = last, run if runs > 0 else np.int32(0)
        end = np.int32(end + run)
        ends[runs] = end
        runs += ONE


@bare
def measure(ends, height, pixels, box):  # type: ignore[no-untyped-def]
    """A mask's area, GAVE_UP if `ends` int32 [runs] are not those of an image of `pixels`; fills in its box.

    `box`: int64 [4], xywh in SA-1B's convention, zeros for an empty mask.
    """
    if len(ends) == 0 or ends[len(ends) - 1] != pixels or ends[0] < 0:
        return GAVE_UP
    area, wrong, before = np.int64(0), np.int32(0), np.int32(0)
    side, most, zero = np.int32(height), np.int32(pixels), np.int32(0)
    inverse = np.float32(1) / np.float32(height)
    top, bottom = side, zero
    for pair in range(len(ends) // 2):
        start, end = ends[TWO * np.uint64(pair)], ends[TWO * np.uint64(pair) + ONE]
        run = np.int32(end - start)
        wrong |= run | np.int32(most - end)
        area += run
        # The row of the first pixel: start % height, by a product that is at most one column off.
        row = np.int32(start - np.int32(side * np.int32(np.float32(start) * inverse)))
        row = np.int32(row + (side if row < 0 else zero))
        row = np.int32(row - (side if row >= side else zero))
        below = np.int32(row + run)
        top = min(top, side if run <= 0 else zero if below > side else row)
        bottom = max(bottom, zero if run <= 0 else side if below > side else below)
    for pair in range(1, len(ends) // 2 + len(ends) % 2):
        before = ends[TWO * np.uint64(pair) - ONE]
        wrong |= np.int32(ends[TWO * np.uint64(pair)] - before)
    if wrong < 0:
        return GAVE_UP
    box[:] = 0
    if area:
        box[0] = _first(ends) // height
        box[1] = top
        box[2] = (_last(ends) - 1) // height - box[0]
        box[3] = bottom - 1 - top
    return area


@bare
def _first(ends):  # type: ignore[no-untyped-def]
    """The first pixel of a mask that is not empty."""
    run = 1
    while ends[run] == ends[run - 1]:
        run += 2
    return np.int64(ends[run - 1])


@bare
def _last(ends):  # type: ignore[no-untyped-def]
    """The end of the last run of ones that is not empty."""
    run = len(ends) // 2 * 2 - 1
    while ends[run] == ends[run - 1]:
        run -= 2
    return np.int64(ends[run])


@bare
def copy(raw, start, end, text, filled):  # type: ignore[no-untyped-def]
    """Copy raw[start:end] to `text` at `filled`; where it ends there."""
    begin = np.uint64(filled)
    for k in range(end - start):
        text[begin + np.uint64(k)] = raw[start + np.uint64(k)]
    return np.int64(begin + (end - start))
