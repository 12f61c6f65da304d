"""Takers of ids, numbers and text; readers of files; and odd values in few letters."""

from pathlib import Path
from typing import Any

import pytest

from ml.errors import UserError
from ml.sa1b.reading.values import (
    identity,
    name_or_number,
    number,
    parse_json,
    read_json,
    read_lines,
    shown,
    text,
)


@pytest.mark.parametrize("value", [7, 7.0, "7", "0007"])
def test_whole_numbers_are_ids(value: Any) -> None:
    assert identity(value) == 7 and type(identity(value)) is int


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        1.9,
        float("inf"),
        float("nan"),
        "",
        "1.0",
        "\u0661",
        "x",
        [1],
        {},
        (1,),
        10**400,
        2**63,
        "9" * 30,
        b"1",
    ],
)
def test_nothing_else_is_an_id(value: Any) -> None:
    with pytest.raises(ValueError, match="no integer id"):
        identity(value)


def test_an_id_may_be_a_name() -> None:
    assert [name_or_number(value) for value in (7, 7.0, "0007", " a7 ")] == ["7", "7", "0007", "a7"]
    for value in (" ", True, None, 1.5, [1]):
        with pytest.raises(ValueError, match=r"empty text|no integer id"):
            name_or_number(value)


@pytest.mark.parametrize(
    "value", [True, None, "1", [1], float("inf"), float("nan"), 10**400, pytest.param(10**5000, id="digits")]
)
def test_a_number_is_finite(value: Any) -> None:
    assert number(3) == 3.0 and type(number(3)) is float
    with pytest.raises(ValueError, match=r"no (finite )?number"):
        number(value)


@pytest.mark.parametrize("value", [None, 17, ["a"], b"a", "", " \n", "a\0b", "\ud800", "x" * 10_001])
def test_text_can_be_written_and_says_something(value: Any) -> None:
    assert text(" the caf\u00e9\u2028\x0c sign ") == "the caf\u00e9\u2028\x0c sign"
    with pytest.raises(ValueError, match=r"text|Unicode"):
        text(value)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, "a\nb\ud800", pytest.param(10**5000, id="digits"), nested(100), nested(50_000), {"a": [1] * 10**6}],
)
def test_any_value_is_shown_in_one_short_line(value: Any) -> None:
    assert 0 < len(shown(value).encode()) <= 90 and "\n" not in shown(value)


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"a":' * 100_000, "", "{", '{"a": 1, "a": 2}', "\ufeff1", '{"' + "x" * 10**5 + '": 1,}']
)
def test_what_is_no_json_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        parse_json(line)


def test_a_number_of_many_digits_costs_itself_alone() -> None:
    assert parse_json(f'{{"a": {"9" * 10_000}, "b": 1}}') == {"a": float("inf"), "b": 1}


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"", b"\0", b'{"a": 1, "a": 2}', "[1]".encode("utf-16")])
def test_a_file_that_is_no_json_is_one_short_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_json(path)
    told = str(error.value)
    assert told.startswith(f"{path}: not readable as ") and "\n" not in told and len(told) - len(str(path)) < 200


def test_a_file_is_read_with_a_byte_order_mark_and_refused_where_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(UserError, match=r"not readable: (Is a directory|No such file or directory)"):
            read_json(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_ends_at_its_end_alone(tmp_path: Path, end: str) -> None:
    lines = ["a\u2028b", "c\x0cd\x0be", "f\x85g\x1c"]
    (tmp_path / "a.txt").write_bytes("".join(line + end for line in lines).encode())
    assert read_lines(tmp_path / "a.txt") == lines
