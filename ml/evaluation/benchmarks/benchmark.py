"""What a benchmark reader returns: examples, regions that belong to the input, and what was refused."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ml.errors import UserError, cut
from ml.sa1b.reading.values import identity, parse_json, read_lines, shown, text

IMAGE_FOLDERS = ("images/train2014", "images/mscoco/images/train2014", "train2014", "images", ".")  # of RefCOCO
TWICE, REPEATED = "comes twice; the first stays", "the same row twice"
LEAVES = re.compile(r"^/|^[A-Za-z]:|\\|\0|(^|/)\.\.(/|$)")  # also as Windows writes paths


class RefusedError(Exception):
    """A row is not taken: which of its fields, the value found, and why."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        self.field, self.value, self.reason = field, value, cut(reason)
        super().__init__(f"{field}: {self.reason}")


@dataclass(frozen=True)
class Example:
    """A question to an image, and its answer.

    Attributes:
        query_id: unique in its benchmark.
        image: path of the image relative to the benchmark's folder; "" asks the question of every image there.
        size: (height, width) the annotations claim; None where they do not say.
        kind: kind of expression (attribute, relation, ...) or type of phrase (people, clothing, ...).
        truth: the answer's columns, for example boxes (xywh, pixels) and counts (COCO RLE at the image's size).
    """

    query_id: str
    split: str
    image: str
    size: tuple[int, int] | None
    text: str
    kind: str
    truth: dict[str, Any]


@dataclass(frozen=True)
class Reject:
    """A row that a reader refused, and why."""

    item: str
    field: str
    value: str
    reason: str


@dataclass
class Benchmark:
    """All of one benchmark.

    Attributes:
        images: every image of the benchmark (relative path -> (height, width) or None), also those without examples.
        answers: truth that is no example's own: rows of {"query_id", ...}.
        regions: rows of {"image", "counts"}: masks that belong to the input.
        region_truth: rows of {"image", ...}: what is known of those masks.
        lost: how many questions the refused rows take along; where all are asked of every image, see `worth`.
        reasons: of how many of the rows that took questions along, by field and reason.
        files: split -> the file its boxes come from, where that does not say how large the pictures are.
    """

    name: str
    examples: list[Example] = field(default_factory=list)
    images: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    regions: list[dict[str, Any]] = field(default_factory=list)
    region_truth: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[Reject] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)  # sound rows that the protocol does not score, by reason
    lost: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    files: dict[str, Path] = field(default_factory=dict)
    _taken: dict[str, Example] = field(default_factory=dict, repr=False)

    def add(self, example: Example) -> None:
        """Take a question; a second one of the same id is refused."""
        first = self._taken.setdefault(example.query_id, example)
        if first is example:
            self.examples.append(example)
        elif first == example:
            self.refuse(example.query_id, "id", example.query_id, REPEATED, lost=0)
        else:
            self.refuse(example.query_id, "id", example.query_id, TWICE)

    def refuse(self, item: object, name: str, value: object, reason: str, lost: int = 1) -> None:
        """Note a row that is left out, and how many questions are lost with it."""
        self.rejected.append(Reject(shown(item), name, shown(value), cut(reason)))
        self.lost += lost
        if lost:
            self.reasons[f"{name}: {cut(reason)}"] += 1

    @property
    def asks_all(self) -> bool:
        """Whether every question is asked of every image: what can be lost is then images and annotations."""
        return any(example.image == "" for example in self.examples)

    def worth(self) -> Counter[str]:
        """Image -> its questions; where all are asked of every image, the image itself and its annotations."""
        if not self.asks_all:
            return Counter(example.image for example in self.examples)
        annotations = Counter(dict.fromkeys(self.images, 1))
        for row in self.answers:
            annotations[row["image"]] += len(row["boxes"])
        return annotations

    def leave_out(self, reason: str) -> None:
        """Count a sound row that the protocol does not score."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def take(row: dict[str, Any], name: str, taker: Callable[[Any], Any]) -> Any:
    """A field of a row, as one of the takers of `values` gives it.

    Raises:
        RefusedError: it is missing, or not what the taker takes.
    """
    if name not in row:
        raise RefusedError(name, row, "missing")
    try:
        return taker(row[name])
    except ValueError as error:
        raise RefusedError(name, row[name], str(error)) from error


def keyed(benchmark: Benchmark, rows: list[Any], what: str, key: str = "id", lost: int = 1) -> dict[int, Any]:
    """Rows by their id. One that is no object or has no id is refused, and one whose id came before: the first stays.

    Args:
        lost: how many questions are lost with a refused row.
    """
    found: dict[int, Any] = {}
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            benchmark.refuse(f"{what} at {index}", what, row, "no object", lost)
            continue
        try:
            number = take(row, key, identity)
        except RefusedError as error:
            benchmark.refuse(f"{what} at {index}", error.field, error.value, error.reason, lost)
            continue
        if number not in found:
            found[number] = row
        elif _equal(found[number], row):
            benchmark.refuse(f"{what} {number}", key, number, REPEATED, 0)
        else:
            benchmark.refuse(f"{what} {number}", key, number, TWICE, lost)
    return found


def json_object(line: str) -> dict[str, Any]:
    """The object that a line of JSON is.

    Raises:
        RefusedError: it is none.
    """
    try:
        row = parse_json(line)
    except ValueError as error:
        raise RefusedError("line", line, f"not readable as JSON ({error})") from error
    if not isinstance(row, dict):
        raise RefusedError("line", line, "no object")
    return row


def read_images(folder: Path, name: str, add: Callable[[Benchmark, Path, dict[str, Any]], None]) -> Benchmark:
    """The benchmark of `<name>_val.jsonl`: a line an image, with what is asked of it under `queries`.

    Args:
        add: takes a line's row, or raises a RefusedError: its questions are lost then.

    Raises:
        UserError: the file is missing.
    """
    try:
        lines = read_lines(folder / f"{name}_val.jsonl")
    except UserError as error:
        raise UserError(f"{error}; point params.benchmarks.{name} at its folder") from error
    benchmark = Benchmark(name)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row: Any = None
        try:
            row = json_object(line)
            add(benchmark, folder, row)
        except RefusedError as error:
            benchmark.refuse(f"line {number}", error.field, error.value, error.reason, _asked(row))
    return benchmark


def _asked(row: Any) -> int:
    """How many questions are lost with a line: 1 where it does not say."""
    queries = row.get("queries") if isinstance(row, dict) else None
    return len(queries) if isinstance(queries, list) else 1


def take_image(benchmark: Benchmark, folder: Path, row: dict[str, Any]) -> str:
    """The path in the folder of a row's image, which lies under `images/` or in the folder itself.

    Raises:
        RefusedError: it is missing, or a row before had it.
    """
    name = take(row, "file_name", text)
    image = find_image(folder, [f"images/{name}", name])
    if image is None:
        raise RefusedError("file_name", name, "image is missing")
    if image in benchmark.images:
        raise RefusedError("file_name", name, TWICE)
    return image


def find_image(folder: Path, candidates: Iterable[str]) -> str | None:
    """The first of the relative paths that is a file in `folder`; a link there may lead elsewhere, a path may not.

    Raises:
        RefusedError: one of the paths is absolute or leads out of the folder.
    """
    paths = list(candidates)
    for path in paths:
        if LEAVES.search(path):
            raise RefusedError("file_name", path, "a path that leaves the benchmark's folder")
    return next((str(PurePosixPath(path)) for path in paths if _is_file(folder / path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name longer than names can be, or of letters that none has
        return False


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except RecursionError:
        return False
