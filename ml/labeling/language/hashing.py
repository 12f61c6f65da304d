"""spaCy's hashes of strings, and of those the rows of its tables (Appleby, MurmurHash2 and 3, public domain)."""

import struct

import numpy as np
from numpy.typing import NDArray

_M, _SEED, _MASK = 0xC6A4A7935BD1E995, 1, 2**64 - 1


def hash64(text: str) -> int:
    """MurmurHash64A of a text in UTF-8, as spaCy's string store has it; 0 of no text."""
    data = text.encode("utf-8")
    if not data:
        return 0
    h, whole = _SEED ^ (len(data) * _M & _MASK), len(data) // 8 * 8
    for (k,) in struct.iter_unpack("<Q", data[:whole]):
        k = k * _M & _MASK
        h = (h ^ ((k ^ (k >> 47)) * _M & _MASK)) * _M & _MASK
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 47)) * _M & _MASK
    return h ^ (h >> 47)


def rows(ids: NDArray[np.uint64], seed: int) -> NDArray[np.uint32]:
    """Four keys `[n, 4]` of each id `[n]`, as Thinc's `HashEmbed` looks them up."""
    h1 = ids * np.uint64(0x87C37B91114253D5)
    h1 = (h1 << np.uint64(31)) | (h1 >> np.uint64(33))
    h1 = h1 * np.uint64(0x4CF5AD432745937F) ^ np.uint64(seed ^ 8)
    h2 = np.full_like(h1, seed ^ 8)
    h1 = h1 + h2
    h2 = h2 + h1
    h1, h2 = _mixed(h1), _mixed(h2)
    h1 = h1 + h2
    h2 = h2 + h1
    return np.stack([h1, h2], axis=1).view(np.uint32)


def _mixed(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h = (h ^ (h >> np.uint64(33))) * np.uint64(factor)
    return h ^ (h >> np.uint64(33))
