"""What a JPEG says of itself, read from its markers without decoding it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_PIXELS = 1 << 26  # 8192 x 8192, 400 MB to decode a progressive one; the largest SA-1B image has 2250 x 4500
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, SOI, END = 0xDA, b"\xff\xd8", b"\xff\xd9"
STANDALONE = {0x01, *range(0xD0, 0xD9)}
HEAD = 4096  # bytes that hold the frame header, if no long comment or thumbnail comes before it
TAIL, MOST_TAIL = 1 << 8, 1 << 20  # bytes searched for the end marker, at first and at most at a time
SEGMENT = 10  # bytes of a segment that are looked at
MOST_SEGMENTS = 4096  # and fill bytes; real ones have a few dozen
OTHERS = {
    re.compile(rb"\x89PNG"): "a PNG",
    re.compile(rb"RIFF....WEBP", re.DOTALL): "a WebP",
    re.compile(rb"GIF8"): "a GIF",
    re.compile(rb"BM"): "a BMP",
    re.compile(rb"(II\*\0|MM\0\*)"): "a TIFF",
    re.compile(rb"....ftyp(avif|avis)", re.DOTALL): "an AVIF",
    re.compile(rb"....ftyp(heic|heix|mif1|msf1)", re.DOTALL): "a HEIC",
    re.compile(rb"\s*<(!DOCTYPE|html)", re.IGNORECASE): "a web page",
}


@dataclass(frozen=True)
class Header:
    """Width and height in pixels as stored (EXIF rotation is not applied: SA-1B's masks lie on the stored pixels)."""

    width: int
    height: int


def read_header(read: Callable[[int, int], bytes], size: int) -> Header | str:
    """The size of a JPEG, or what is wrong with it.

    Args:
        read: (position, length) -> bytes of the JPEG.
        size: of the JPEG in bytes.
    """
    head = read(0, min(size, HEAD))
    if head[:2] != SOI:
        return next((f"{form}, not a JPEG" for magic, form in OTHERS.items() if magic.match(head)), "not a JPEG")
    for position, marker in segments(lambda at, n: head[at : at + n] if at + n <= len(head) else read(at, n), size):
        if marker[1] in START_OF_FRAME:
            frame = _frame(marker) if len(marker) == SEGMENT else "a JPEG header that is cut"
            return (
                frame
                if isinstance(frame, str) or last_end(read, position, size) >= 0
                else "the JPEG is cut: no end marker"
            )
        if marker[1] == START_OF_SCAN:
            break
    return "a JPEG without a frame header"


def segments(read: Callable[[int, int], bytes], size: int) -> Iterator[tuple[int, bytes]]:
    """The segments before the scan and its start: the position and first bytes of each; at most MOST_SEGMENTS."""
    position = len(SOI)
    for _ in range(MOST_SEGMENTS):
        marker = read(position, SEGMENT)
        if len(marker) < 4 or marker[0] != 0xFF:
            return
        if marker[1] == 0xFF or marker[1] in STANDALONE:  # fill byte, or a marker without a segment
            position += 1 if marker[1] == 0xFF else 2
            continue
        yield position, marker
        if marker[1] == START_OF_SCAN:
            return
        position += 2 + max(2, int.from_bytes(marker[2:4], "big"))


def last_end(read: Callable[[int, int], bytes], start: int, size: int) -> int:
    """Where the last end marker behind `start` stands, usually in the last bytes; -1: nowhere."""
    end, length = size, TAIL
    while end > start:
        begin = max(start, end - length)
        found = read(begin, min(end - begin + 1, size - begin)).rfind(END)
        if found >= 0:
            return begin + found
        end, length = begin, min(16 * length, MOST_TAIL)
    return -1


def _frame(segment: bytes) -> Header | str:
    height, width = int.from_bytes(segment[5:7], "big"), int.from_bytes(segment[7:9], "big")
    if segment[4] != 8:
        return f"a JPEG of {segment[4]} bits a sample, not 8"
    if segment[9] not in (1, 3, 4):
        return f"a JPEG of {segment[9]} components, not 1, 3 or 4"
    if not 0 < width * height <= MAX_PIXELS:
        return f"a JPEG of {width} x {height} pixels"
    return Header(width, height)
