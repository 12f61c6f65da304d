"""What a JPEG says of itself, read from its markers without decoding it."""

from collections.abc import Callable
from dataclasses import dataclass

MAX_PIXELS = 1 << 28  # 16384 x 16384; the largest SA-1B image has 2250 x 4500
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, END = 0xDA, b"\xff\xd9"
STANDALONE = {0x01, *range(0xD0, 0xD9)}
HEAD = 4096  # bytes that hold the frame header, if no long comment or thumbnail comes before it
TAIL = 1024  # bytes after the end marker that some cameras leave


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
    if head[:2] != b"\xff\xd8":
        return "not a JPEG"
    if END not in read(max(0, size - TAIL), min(size, TAIL)):
        return "the JPEG is cut: no end marker"
    position = 2
    while position + 4 <= size:
        marker = head[position : position + 10] if position + 10 <= len(head) else read(position, 10)
        if marker[0] != 0xFF:
            break
        if marker[1] == 0xFF or marker[1] in STANDALONE:  # fill byte, or a marker without a segment
            position += 1 if marker[1] == 0xFF else 2
            continue
        if marker[1] in START_OF_FRAME:
            return _frame(marker) if len(marker) == 10 else "a JPEG header that is cut"
        if marker[1] == START_OF_SCAN:
            break
        position += 2 + max(2, int.from_bytes(marker[2:4], "big"))
    return "a JPEG without a frame header"


def _frame(segment: bytes) -> Header | str:
    height, width = int.from_bytes(segment[5:7], "big"), int.from_bytes(segment[7:9], "big")
    if segment[4] != 8:
        return f"a JPEG of {segment[4]} bits a sample, not 8"
    if segment[9] not in (1, 3, 4):
        return f"a JPEG of {segment[9]} components, not 1, 3 or 4"
    if not 0 < width * height <= MAX_PIXELS:
        return f"a JPEG of {width} x {height} pixels"
    return Header(width, height)
