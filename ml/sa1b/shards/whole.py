"""Whether a shard is whole, by all of its bytes: an archive to its end, and no hole inside a member.

A download that was preallocated, a lost block of a disk, a piece of a parallel download that never came leave zeros of
whole pages where there are none in a JSON or in the scan of a JPEG.
"""

import os
from pathlib import Path

import numpy as np

from ml.sa1b.shards.jpeg import END, SOI, START_OF_SCAN, segments
from ml.sa1b.shards.tar import Member, tar_fault, walk

PAGE = 4096  # bytes, at a multiple of which such a hole begins


def shard_fault(path: Path) -> str:
    """What is wrong with a shard ("": nothing that shows without decoding).

    Raises:
        OSError: the file can't be read.
    """
    return tar_fault(path) or _hole(path)


def _hole(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        for member in walk(path):
            first = _zero_page(file.fileno(), member)
            if first is not None:
                return f"{member.name}: {PAGE} zeros at byte {first} of the tar, where there are none (a hole)"
    return ""


def _zero_page(fd: int, member: Member) -> int | None:
    """Where in the tar the first page of zeros begins inside a member; None where there is none."""
    start = -(-member.offset // PAGE) * PAGE
    count = (member.offset + member.size - start) // PAGE
    if count <= 0:
        return None
    data = os.pread(fd, member.size, member.offset)
    at = start - member.offset
    pages = np.frombuffer(data, np.uint8, count * PAGE, at).reshape(count, PAGE)
    zero = at + PAGE * np.flatnonzero(~pages.any(1))
    if not len(zero):
        return None
    begin, end = _scan(data) if data.startswith(SOI) else (0, len(data))
    return next((member.offset + int(page) for page in zero if begin <= page < end), None)


def _scan(data: bytes) -> tuple[int, int]:
    """Where the scan of a JPEG begins and ends: before it profiles, behind it makers' own bytes may hold zeros."""
    found = [at for at, marker in segments(lambda at, n: data[at : at + n], len(data)) if marker[1] == START_OF_SCAN]
    end = data.rfind(END)
    return (found[0] if found else len(data), end if end > 0 else len(data))
