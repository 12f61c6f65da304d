"""YAML that a person may have edited: `params.yaml`, `dvc.yaml`, `dvc.lock`.

Read as DVC reads it, by YAML 1.2 (`010` is ten, `1e-3` a number, `yes` a text), and plain values alone: texts, numbers,
true and false, null, lists and tables. What else YAML has is told with its key, not turned into a value.
"""

import re
import stat
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ml.errors import UserError, cut

MOST_BYTES = 2**22
MOST_NODES = 50_000  # what aliases repeat included; a dvc.lock of the whole line has 3,000
MOST_DEPTH = 20
MOST_DIGITS = 40
MOST_COMPLAINTS = 10
MOST_CHARACTERS = 230  # of a complaint, which follows the path of its file
WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
INTEGER = re.compile(r"[-+]?(\d+(_\d+)*|0x[0-9a-fA-F]+|0o[0-7]+)")
FLOAT = re.compile(r"[-+]?(\d+(_\d+)*)?(\d\.|\.\d|\d(?=[eE]))\d*([eE][-+]?\d+)?")
ENDLESS = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)
DATE = re.compile(r"\d{4}-\d\d?-\d\d?([Tt \t].*)?")

Model = TypeVar("Model", bound=BaseModel)
Keys = tuple[str | int, ...]


def read(path: Path, way_out: str) -> dict[str, Any]:
    """The table in a file; {} where the file is empty. `way_out`: what to do where it can't be used.

    Raises:
        UserError: no file of UTF-8 text, no YAML, no table; or with a line for each key that has no plain value.
    """
    reader = _Reader(_text(path, way_out))
    try:
        value = reader.document()
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not readable as YAML: {_problem(error)}; {way_out}") from error
    complain(str(path), reader.complaints)
    if not isinstance(value, dict | None):
        raise UserError(f"{path}: found {shown(value)}; a table of keys and values is wanted; {way_out}")
    return value or {}


def typed(model: type[Model], raw: Any, origin: str, absent: str) -> Model:
    """Plain values as a model. `absent`: what to do about a key that is missing.

    Raises:
        UserError: with a line for each key that is unknown, missing or has an impossible value.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)
        complaints = [f"{key(item['loc'])}: {_wrong(model, item, absent)}" for item in found]
    complain(origin, complaints)
    raise AssertionError(origin)


def complain(origin: str, complaints: Sequence[str]) -> None:
    """Tell what is wrong, where anything is: a line for each key, and how many more there are.

    Raises:
        UserError: there are complaints.
    """
    lines = [f"{origin}: {cut(complaint, MOST_CHARACTERS)}" for complaint in complaints[:MOST_COMPLAINTS]]
    if len(complaints) > MOST_COMPLAINTS:
        lines.append(f"{origin}: and {len(complaints) - MOST_COMPLAINTS} more")
    if lines:
        raise UserError("\n".join(lines))


def shown(value: Any) -> str:
    """A value in a message: cut short, on one line."""
    text = repr(value) if isinstance(value, str | int | float | None) else f"a {_kind(value)} of {len(value)}"
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"


def key(keys: Keys) -> str:
    """A key in a message, with dots; what could be taken for something else is quoted."""
    parts = (str(part) if isinstance(part, int) or re.fullmatch(r"[\w-]{1,40}", part) else shown(part) for part in keys)
    return ".".join(parts) or "(the whole file)"


def _kind(value: Any) -> str:
    return "table" if isinstance(value, dict) else "list"


def _text(path: Path, way_out: str) -> str:
    """What a file holds; nothing else than a file is opened: a pipe would wait for its writer."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise UserError(f"{path}: not readable as YAML: it is no file; {way_out}")
        if about.st_size > MOST_BYTES:
            raise UserError(
                f"{path}: not readable as YAML: it has {about.st_size} bytes, more than {MOST_BYTES}; {way_out}"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: not readable as YAML: {error.strerror}; {way_out}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not readable as YAML: byte {error.start} is no UTF-8 text ({error.reason}); {way_out}"
        ) from error


def _problem(error: yaml.YAMLError) -> str:
    """What the parser says, and the line it says it of."""
    mark = getattr(error, "problem_mark", None)
    words = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return where + cut(str(words), 120)


class _Reader:
    """Values from the parser's events, so that no value is made before it is known to be small and plain."""

    def __init__(self, text: str) -> None:
        self.parser = yaml.CSafeLoader(text)
        self.complaints: list[str] = []
        self.nodes = 0
        self.anchored: dict[str, tuple[Any, int]] = {}  # the value, and the nodes that it has

    def document(self) -> Any:
        self.parser.get_event()  # the stream begins
        if self.parser.check_event(yaml.StreamEndEvent):
            return None
        self.parser.get_event()  # the document begins
        value = self._value(())
        self.parser.get_event()  # it ends
        if not self.parser.check_event(yaml.StreamEndEvent):
            self.complaints.append("a second document begins (---); one is wanted")
        return value

    def _value(self, keys: Keys) -> Any:
        event, before = self.parser.get_event(), self.nodes
        self._count(event, 1, len(keys))
        if isinstance(event, yaml.AliasEvent):
            return self._repeat(event)
        if event.tag is not None:
            self.complaints.append(f"{key(keys)}: found the tag {shown(event.tag)}; write the plain value")
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, keys)
        else:
            value = self._table(keys) if isinstance(event, yaml.MappingStartEvent) else list(self._items(keys))
        if event.anchor is not None:
            self.anchored[event.anchor] = value, self.nodes - before
        return value

    def _count(self, event: yaml.Event, nodes: int, depth: int) -> None:
        self.nodes += nodes
        if self.nodes > MOST_NODES:
            self._refuse(event, f"more than {MOST_NODES} values, counting what aliases (*) repeat")
        if depth > MOST_DEPTH:
            self._refuse(event, f"nested more than {MOST_DEPTH} deep")

    def _refuse(self, event: yaml.Event, problem: str) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)

    def _repeat(self, event: yaml.AliasEvent) -> Any:
        if event.anchor not in self.anchored:
            self._refuse(event, f"the alias *{event.anchor[:40]} is of nothing that was anchored (&) before")
        value, nodes = self.anchored[event.anchor]
        self._count(event, nodes, 0)
        return value

    def _items(self, keys: Keys) -> Iterator[Any]:
        place = 0
        while not self.parser.check_event(yaml.SequenceEndEvent):
            yield self._value((*keys, place))
            place += 1
        self.parser.get_event()

    def _table(self, keys: Keys) -> dict[str, Any]:
        table: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not self.parser.check_event(yaml.MappingEndEvent):
            name = self._value((*keys, "(a key)"))
            value = self._value((*keys, name if isinstance(name, str) else shown(name)))
            if name == "<<" and isinstance(value, dict) and not merged:
                merged = value
            elif not isinstance(name, str) or name == "<<":
                self.complaints.append(f"{key(keys)}: found the key {shown(name)}; a text is wanted, put it in quotes")
            elif name in table:
                self.complaints.append(f"{key((*keys, name))}: found twice; leave one")
            else:
                table[name] = value
        self.parser.get_event()
        return merged | table

    def _scalar(self, event: yaml.ScalarEvent, keys: Keys) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            return plain(event.value)
        except ValueError as error:
            self.complaints.append(f"{key(keys)}: found {shown(event.value)}; {error}")
            return None


def plain(text: str) -> str | int | float | bool | None:
    """The value of a text without quotes.

    Raises:
        ValueError: it reads as a date, or as a number that none is.
    """
    if (word := text if text in {text.lower(), text.upper(), text.title()} else "-").lower() in WORDS:
        return WORDS[word.lower()]
    number = INTEGER.fullmatch(text) or FLOAT.fullmatch(text)
    if number and len(text) > MOST_DIGITS:
        raise ValueError(f"a number of at most {MOST_DIGITS} digits is wanted")
    if DATE.fullmatch(text):
        raise ValueError("it reads as a date; put it in quotes if a text is meant")
    if ENDLESS.fullmatch(text):
        raise ValueError("a finite number is wanted")
    if number is None:
        return text
    return int(text, _base(text)) if INTEGER.fullmatch(text) else float(text)


def _base(text: str) -> int:
    return {"0x": 16, "0o": 8}.get(text.lstrip("+-")[:2], 10)


def _wrong(model: type[BaseModel], error: Any, absent: str) -> str:
    if error["type"] == "extra_forbidden":
        allowed = _allowed(model, error["loc"][:-1])
        meant = get_close_matches(str(error["loc"][-1]), allowed, 1)
        return f"unknown key; {f'is {meant[0]} meant? ' if meant else ''}allowed here: {', '.join(allowed)}"
    if error["type"] == "missing":
        return f"missing; {absent}"
    message = re.sub(" or instance of .*", "", error["msg"].removeprefix("Value error, "))
    return f"found {shown(error['input'])}; {message[:1].lower()}{message[1:]}"


def _allowed(model: Any, keys: Keys) -> list[str]:
    """The keys of the table that lies below a model at these keys."""
    for part in keys:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(part)].annotation
        else:  # list[Model], dict[str, Model]
            model = get_args(model)[-1]
    return sorted(model.model_fields)
