"""COCO's compressed string <-> run lengths.

A mask is the list of its run lengths in column-major order, zeros first. COCO writes each as a signed number in
5-bit groups, low group first, bit 5 set on all but the last group, offset by 48; from the fourth number on it is
the difference to the number two before (`rleToString` in cocoapi's maskApi.c). The text comes from outside, so
every property is checked while decoding and nothing is allocated beyond the text's own length.
"""

from collections.abc import Sequence

import numpy as np

from ml.compute.compiled import compiled

MAX_PIXELS = 2**32 - 1  # run lengths are uint32
REASONS = (
    "",
    "a byte outside the alphabet of COCO's compressed counts",
    "the string is cut in the middle of a number",
    "a run length of more than 35 bits",
    "a negative run length",
    "a run length larger than the image",
    "the run lengths do not sum to height x width",
)
NOT_TEXT = "counts is not a string"
NOT_ASCII = "counts is not ASCII"
BAD_BYTE, CUT, LONG, NEGATIVE, HUGE, SUM = range(1, 7)
GROUPS = 7  # 35 bits: a signed difference of two uint32 fits


def decode(texts: Sequence[object], pixels: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Decode and validate the strings of one image's masks.

    Returns:
        counts uint32 [runs] of the valid masks, offsets int64 [valid + 1], and a reason for each string ("": valid).
    """
    reasons = [_text_fault(text) for text in texts]
    clean = [str(text) if not reason else "" for text, reason in zip(texts, reasons, strict=True)]
    ends = np.cumsum([0, *map(len, clean)], dtype=np.int64)
    data = np.frombuffer("".join(clean).encode("ascii"), dtype=np.uint8)
    counts, offsets, status = decode_text(data, ends[:-1], ends[1:], pixels)
    reasons = [reason or REASONS[code] for reason, code in zip(reasons, status, strict=True)]
    return counts, offsets, reasons


def encode(counts: np.ndarray, offsets: np.ndarray) -> list[str]:
    """The strings of run lengths `counts` uint32 [runs], mask i at `offsets[i]:offsets[i + 1]`."""
    data, ends = _encode(counts, offsets)
    text = data.tobytes().decode("ascii")
    return [text[ends[i] : ends[i + 1]] for i in range(len(offsets) - 1)]


def _text_fault(text: object) -> str:
    if not isinstance(text, str):
        return NOT_TEXT
    return "" if text.isascii() else NOT_ASCII


@compiled
def decode_text(data, starts, ends, pixels):  # type: ignore[no-untyped-def]
    """Decode and validate the strings data[starts[i]:ends[i]], uint8.

    Returns:
        counts uint32 [runs] of the valid masks, offsets int64 [valid + 1], and which of REASONS holds: int8 [n].
    """
    n = len(ends)
    counts = np.empty((ends - starts).sum(), np.uint32)
    offsets = np.zeros(n + 1, np.int64)
    status = np.zeros(n, np.int8)
    valid = 0
    for i in range(n):
        filled, status[i] = _decode_one(data, starts[i], ends[i], pixels, counts, offsets[valid])
        if status[i] == 0:
            valid += 1
            offsets[valid] = filled
    return counts[: offsets[valid]].copy(), offsets[: valid + 1], status


@compiled
def _decode_one(data, start, end, pixels, counts, first):  # type: ignore[no-untyped-def]
    run, total, at = first, np.int64(0), start
    while at < end:
        group = np.int64(data[at]) - 48
        at += 1
        value, shift = group & 0x1F, 5
        while group & 0x20 and 0 <= group <= 63:  # most numbers are one group: this is skipped
            if at == end:
                return run, CUT
            if shift == 5 * GROUPS:
                return run, LONG
            group = np.int64(data[at]) - 48
            at += 1
            value |= (group & 0x1F) << shift
            shift += 5
        if group < 0 or group > 63:
            return run, BAD_BYTE
        value -= (group & 0x10) << (shift - 4)  # the sign bit of the last group
        if run - first > 2:
            value += np.int64(counts[run - 2])
        if value < 0:
            return run, NEGATIVE
        if value > pixels:
            return run, HUGE
        counts[run] = value
        run += 1
        total += value
        if total > pixels:
            return run, SUM
    return run, 0 if total == pixels else SUM


@compiled
def _encode(counts, offsets):  # type: ignore[no-untyped-def]
    n = len(offsets) - 1
    data = np.empty(GROUPS * len(counts), np.uint8)
    ends = np.zeros(n + 1, np.int64)
    at = 0
    for i in range(n):
        for run in range(offsets[i], offsets[i + 1]):
            value = np.int64(counts[run])
            if run - offsets[i] > 2:
                value -= np.int64(counts[run - 2])
            more = True
            while more:
                group = value & 0x1F
                value >>= 5
                more = value != (-1 if group & 0x10 else 0)
                data[at] = (group | 0x20 if more else group) + 48
                at += 1
        ends[i + 1] = at
    return data[:at].copy(), ends
