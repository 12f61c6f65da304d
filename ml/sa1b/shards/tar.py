"""A tar's members by their headers alone: nothing is extracted, no member's bytes are read.

Formats: POSIX ustar, pax and GNU. Whatever a training shard has no business to hold (links, devices, sparse files,
paths that leave the archive) comes out as a member with a fault.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = 512
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
    """The rest of the archive can't be followed."""


def walk(path: Path) -> Iterator[Member]:
    """The members of an archive in order; one last member with a fault where it breaks off.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        yield from _walk(file.fileno(), end)


def tar_fault(path: Path) -> str:
    """Why a file is no whole tar, by its first header and its end marker ("": it looks like one).

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        try:
            _header(file.fileno(), 0, end)
        except _BrokenError as error:
            return f"not a tar: {error}"
        cut = end % BLOCK or any(os.pread(file.fileno(), BLOCK, end - BLOCK))
        return f"the tar is cut: {end} bytes without an end marker" if cut else ""


def _walk(fd: int, end: int) -> Iterator[Member]:
    position, pax, name = 0, dict[str, str](), ""
    while True:
        try:
            header = _header(fd, position, end)
            if header is None:
                return
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
                    return
        except _BrokenError as error:
            yield Member("", position, 0, str(error))
            return
        position = data + (size + BLOCK - 1) // BLOCK * BLOCK


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
