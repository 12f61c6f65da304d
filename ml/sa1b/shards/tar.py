"""A tar's members by their headers alone: nothing is extracted, no member's bytes are read.

Formats: POSIX ustar, pax and GNU. Whatever a training shard has no business to hold (links, devices, sparse files,
paths that leave the archive) comes out as a member with a fault.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

BLOCK = 512
PADDING = 20 * BLOCK + 2 * BLOCK  # bytes: tars are padded to records of 20 blocks behind two empty ones
SEARCHED = 1 << 20  # bytes at a time
MAGIC_AT, MAGIC = 257, np.frombuffer(b"ustar", np.uint8)
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}
MAX_EXTENSION = 1 << 20  # bytes of a long name or a pax header; real ones have a few hundred
DIRECTORY = b"5"
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL = b"L", b"K", b"x", b"g"
KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}


class Member(NamedTuple):
    """A file of an archive. `offset` and `size`: its bytes; `fault`: why it must not be read ("": it may)."""

    name: str
    offset: int
    size: int
    fault: str = ""


class _BrokenError(Exception):
    """No header can be read at a position; `search`: where the next may stand, if not right behind."""

    def __init__(self, reason: str, search: int | None = None) -> None:
        super().__init__(reason)
        self.search = search


def walk(path: Path) -> Iterator[Member]:
    """The members of an archive in order.

    A stretch that can't be followed (a flipped bit in a header, a hole, a second archive behind the end marker) comes
    as a member without a name whose fault says what is wrong; the walk goes on at the next sound header. An archive
    that is cut ends with such a member, of no bytes.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        yield from _walk(file.fileno(), end)


def taken(member: Member) -> int:
    """The bytes of an archive that a member takes, its header included."""
    return BLOCK + -(-member.size // BLOCK) * BLOCK


def tar_fault(path: Path) -> str:
    """Why a file is no whole tar, by all of its headers and what stands behind the last ("": it is one).

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb", buffering=0) as file:
        head = os.pread(file.fileno(), BLOCK, 0)
    for magic, form in COMPRESSED.items():
        if head.startswith(magic):
            return f"not a tar but {form}; unpack it first"
    files = 0
    for member in walk(path):
        if not member.name and not files:
            return f"not a tar: {member.fault}"
        if not member.name:
            return member.fault if member.size == 0 else f"the tar is damaged at byte {member.offset}: {member.fault}"
        files += not member.name.endswith("/")
    return "" if files else "a tar without any file"


def _walk(fd: int, end: int) -> Iterator[Member]:
    position, pax, name = 0, dict[str, str](), ""
    while True:
        try:
            header = _header(fd, position, end)
            if header is None and _is_end(fd, position, end):
                return
            if header is None:
                raise _BrokenError(
                    "zeros where a header belongs (a hole, an unfinished download, or two archives joined)"
                )
            kind = header[156:157]
            data, size = position + BLOCK, _number(header[124:136])
            if kind in (LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL):
                text = _extension(fd, data, size, end)
                if kind == LONG_NAME:
                    name = _text(text.split(b"\0", 1)[0])
                elif kind == PAX:
                    pax = _pax(text)
            else:
                size = _pax_size(pax, size)
                yield _member(header, pax.get("path") or name or _name(header), data, size, end)
                pax, name = {}, ""
                if data + size > end:
                    raise _BrokenError("", data)
            position = data + (size + BLOCK - 1) // BLOCK * BLOCK
        except _BrokenError as error:
            pax, name = {}, ""
            found = _next_header(fd, error.search or position + BLOCK, end)
            if str(error) and position + BLOCK <= end:
                yield Member("", position, (found or end) - position, str(error))
            inside = error.search is not None  # a member: zeros at the end are its own, and mark nothing
            if found is None and (inside or any(os.pread(fd, BLOCK, max(0, end - BLOCK)) or b"cut")):
                yield Member("", end, 0, f"the archive is cut: {end} bytes, no end marker")
            if found is None:
                return
            position = found


def _is_end(fd: int, position: int, end: int) -> bool:
    """Whether there is nothing from here on but zeros, and no more of them than tars are padded with."""
    return end - position <= PADDING and not any(os.pread(fd, PADDING, position))


def _next_header(fd: int, position: int, end: int) -> int | None:
    """The next position at which a sound header stands; None: there is none."""
    while position < end:
        piece = os.pread(fd, SEARCHED, position)
        blocks = np.frombuffer(piece[: len(piece) // BLOCK * BLOCK], np.uint8).reshape(-1, BLOCK)
        for number in np.flatnonzero((blocks[:, MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC).all(1)).tolist():
            try:
                _header(fd, position + number * BLOCK, end)
                return position + number * BLOCK
            except _BrokenError:
                continue
        position += SEARCHED
    return None


def _header(fd: int, position: int, end: int) -> bytes | None:
    """The header block at `position`; None at the archive's end marker."""
    header = os.pread(fd, BLOCK, position)
    if len(header) < BLOCK:
        raise _BrokenError(f"the archive is cut: {end} bytes, no end marker")
    if not any(header):
        return None
    stored = _number(header[148:156])
    letters = (header[:148] + header[156:]).replace(b"\0", b"")  # most are none, and add nothing
    if stored != sum(letters) + 8 * ord(" "):
        raise _BrokenError("a tar header with a wrong checksum")
    return header


def _member(header: bytes, name: str, offset: int, size: int, end: int) -> Member:
    kind = header[156:157]
    if kind == DIRECTORY:
        return Member(name, offset, 0, "" if _is_safe(name) else _UNSAFE)
    if kind not in (b"0", b"\0", b"7"):
        return Member(name, offset, size, f"{KINDS.get(kind, 'a special member')}, not a file")
    if not _is_safe(name):
        return Member(name, offset, size, _UNSAFE)
    return Member(name, offset, size, "the archive ends inside this member" if offset + size > end else "")


_UNSAFE = "a path that is absolute or leaves the archive"


def _is_safe(name: str) -> bool:
    return bool(name) and name.isprintable() and not name.startswith("/") and ".." not in name.split("/")


def _name(header: bytes) -> str:
    name = _text(header[:100].split(b"\0", 1)[0])
    prefix = _text(header[345:500].split(b"\0", 1)[0]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _number(field: bytes) -> int:
    """An octal field, or GNU's base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        value = int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        value = -1
    if value < 0:
        raise _BrokenError("a tar header with a number that is not octal")
    return value


def _extension(fd: int, offset: int, size: int, end: int) -> bytes:
    if size > MAX_EXTENSION or offset + size > end:
        raise _BrokenError(f"a tar name or pax header of {size} bytes")
    return os.pread(fd, size, offset)


def _pax(text: bytes) -> dict[str, str]:
    r"""Records of `length key=value\n`."""
    found, at = dict[str, str](), 0
    while at < len(text) and text[at] != 0:
        length, space, _ = text[at : at + 20].partition(b" ")
        if not space or not length.isdigit() or not len(length) + 2 < int(length) <= len(text) - at:
            raise _BrokenError("a pax header that can't be read")
        key, _, value = text[at + len(length) + 1 : at + int(length) - 1].partition(b"=")
        found[_text(key)] = _text(value)
        at += int(length)
    return found


def _pax_size(pax: dict[str, str], size: int) -> int:
    if "size" not in pax:
        return size
    if not (pax["size"].isascii() and pax["size"].isdigit() and len(pax["size"]) < 20):
        raise _BrokenError("a pax header that can't be read")
    return int(pax["size"])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
