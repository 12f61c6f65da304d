"""Whether a shard is whole, by all of its bytes: an archive to its end, and no hole inside a member.

A download that was preallocated, a lost block of a disk, a piece of a parallel download that never came leave zeros of
whole pages where there are none in a JSON or in the scan of a JPEG.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ml.sa1b.shards.jpeg import SOI, START_OF_SCAN, last_end, segments
from ml.sa1b.shards.tar import Member, tar_fault, walk

PAGE = 4096  # bytes, at a multiple of which such a hole begins
READ = 1 << 22  # bytes at a time


def shard_fault(path: Path) -> str:
    """What is wrong with a shard ("": nothing that shows without decoding).

    Raises:
        OSError: the file can't be read.
    """
    return tar_fault(path) or _hole(path)


def _hole(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        members, member, bounds = walk(path), None, (0, 0)
        for page in _zero_pages(file.fileno()):
            while member is None or member.offset + member.size < page + PAGE:
                if (member := next(members, None)) is None:
                    return ""
                bounds = (0, 0)
            if page < member.offset:
                continue
            bounds = bounds if bounds[1] else _bounds(file.fileno(), member)
            if bounds[0] <= page - member.offset < bounds[1]:
                return f"{member.name}: {PAGE} zeros at byte {page} of the tar, where there are none (a hole)"
    return ""


def _zero_pages(fd: int) -> Iterator[int]:
    """Where in a file pages of zeros begin, in order."""
    position = 0
    while piece := os.pread(fd, READ, position):
        pages = np.frombuffer(piece, np.uint8, len(piece) // PAGE * PAGE).reshape(-1, PAGE)
        yield from (position + PAGE * np.flatnonzero(~pages.any(1))).tolist()
        position += len(piece)


def _bounds(fd: int, member: Member) -> tuple[int, int]:
    """Where in a member no page is all zeros: of a JPEG in its scan.

    Before the scan profiles, and behind its end marker makers' own bytes may hold zeros.
    """

    def read(at: int, length: int) -> bytes:
        return os.pread(fd, min(length, max(0, member.size - at)), member.offset + at)

    if read(0, len(SOI)) != SOI:
        return 0, member.size
    scan = next((at for at, marker in segments(read, member.size) if marker[1] == START_OF_SCAN), member.size)
    end = last_end(read, scan, member.size)
    return scan, end if end >= 0 else member.size
