"""Damage as it happens and as it is meant: bytes flipped, lost, doubled, zeroed; values swapped for odd ones."""

from hypothesis import strategies as st

ODD = [
    *(b"", b"\0", b"\xff", b"\xff\xd9", b"\r\n", b"\x0c", "\u2028".encode(), "\ufeff".encode(), b'"', b",", b"\t"),
    *(b"null", b"true", b"-1", b"0", b"1e400", b"NaN", b"-Infinity", b"9" * 500, b"0.1", b"[]", b"{}", b"[[]]"),
    *(b"[" * 3000, b"{" * 300, b"../", b"/etc/passwd", b"..\\", b"&a", b"*a", b"!!int ''", b"!!python/name:os.system"),
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"</object>", b"[/EN#", b"]", b"x" * 70000, b"2026-13-45", b"'", b"%", b": "),
]
POSITION = st.floats(0, 1, exclude_max=True)
EDIT = st.one_of(
    st.tuples(st.just("flip"), POSITION, st.integers(0, 7)),
    st.tuples(st.just("cut"), POSITION, st.just(0)),
    st.tuples(st.sampled_from(["drop", "zero", "double"]), POSITION, st.integers(1, 6000)),
    st.tuples(st.sampled_from(["insert", "replace"]), POSITION, st.sampled_from(ODD)),
    st.tuples(st.just("insert"), POSITION, st.binary(max_size=30)),
)
EDITS = st.lists(EDIT, min_size=1, max_size=4)
MORE = b"{}[],:\"\t\n\r <>/'-.0123456789"


def mutated(data: bytes, edits: list[tuple[str, float, object]]) -> bytes:
    """The bytes after each edit in turn."""
    for kind, position, what in edits:
        at = int(position * len(data))
        data = _EDITS[kind](data, at, what)
    return data


def _token(data: bytes, at: int) -> tuple[int, int]:
    """The word around a position: what a `replace` takes the place of."""
    start = end = at
    while start > 0 and data[start - 1] not in MORE:
        start -= 1
    while end < len(data) and data[end] not in MORE and end - start < 40:
        end += 1
    return start, max(end, min(start + 1, len(data)))


def _flip(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] if data else data


def _replace(data: bytes, at: int, what: bytes) -> bytes:
    start, end = _token(data, at)
    return data[:start] + what + data[end:]


_EDITS = {
    "flip": _flip,
    "cut": lambda data, at, _: data[:at],
    "drop": lambda data, at, n: data[:at] + data[at + n :],
    "zero": lambda data, at, n: data[:at] + bytes(len(data[at : at + n])) + data[at + n :],
    "double": lambda data, at, n: data[: at + n] + data[at:],
    "insert": lambda data, at, what: data[:at] + what + data[at:],
    "replace": _replace,
}
