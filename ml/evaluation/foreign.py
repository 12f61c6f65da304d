"""Scores of predictions that any other model made: `arrcoc score`.

A Parquet or JSONL file, a row a question of `queries/<benchmark>.parquet`: query_id and boxes (xywh, pixels), with
scores where there are several; counts (COCO RLE, one a box) and point (x, y) as far as the model has them. For LVIS,
query_id is `<category id>@<image>`. For the relevance benchmark: query_id and relevance, and levels where known, one
a given mask. For absence: boxes and scores in [0, 1] of whatever is found, none where nothing is. For captions and VQA:
query_id and text. Other columns are not read.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.errors import UserError
from ml.evaluation.benchmarks.relevance import LEVELS
from ml.evaluation.metrics.outcomes import NOTHING, image_sizes
from ml.evaluation.predictions.files import Row, as_tables, prediction_files
from ml.evaluation.predictions.plan import GIVEN, SPOKEN
from ml.evaluation.scores import require, score
from ml.masks import Masks
from ml.params import Milestones

EMPTY: Row = {"counts": [], "scores": [], "relevance": [], "grounding": [], "levels": []}
NEEDS = {  # column -> the scores that say nothing without it
    "counts": ("gIoU", "cIoU", "P@", "mask "),
    "point": ("pointing",),
    "levels": ("level accuracy",),
}
PART = 4096  # rows held at a time
LARGEST = float(np.finfo(np.float32).max)  # predictions are kept in single precision


@dataclass(frozen=True)
class Asked:
    """What a benchmark asks.

    Attributes:
        images: question -> its image, or a folder with a slash at its end where it is asked of all images there.
        sizes: image -> (height, width).
        given: image -> how many masks of it belong to the input.
    """

    benchmark: str
    images: dict[str, str]
    sizes: dict[str, tuple[int, int]]
    given: dict[str, int]

    @classmethod
    def read(cls, data: Path, benchmark: str) -> "Asked":
        """Of a folder of `benchmark_data`."""
        queries = pq.read_table(data / "queries" / f"{benchmark}.parquet").to_pylist()
        regions = data / "regions" / f"{benchmark}.parquet"
        given = pq.read_table(regions).to_pylist() if regions.is_file() else []
        return cls(
            benchmark,
            {row["query_id"]: row["image"] for row in queries},
            image_sizes(data),
            {row["image"]: len(row["counts"]) for row in given},
        )

    def image(self, query_id: str) -> str | None:
        """The image that an answer is about; None where its id is that of no question."""
        if query_id in self.images:
            return self.images[query_id]
        question, _, name = query_id.partition("@")
        folder = self.images.get(question, "")
        return folder + name if folder.endswith("/") else None


def score_file(data: Path, path: Path, benchmark: str, milestones: Milestones, seed: int) -> dict[str, Any]:
    """What `score` says of a file of predictions, and how many questions it answers.

    Raises:
        UserError: no such benchmark, or rows that are no answers to it; they are counted, and the first is named.
    """
    require(data)
    known = sorted(file.stem for file in (data / "queries").glob("*.parquet"))
    if benchmark not in known:
        raise UserError(f"benchmark {benchmark!r} is unknown; {data} has {', '.join(known)}")
    asked, columns, answered = Asked.read(data, benchmark), set[str](), 0
    with TemporaryDirectory() as folder:
        with prediction_files(Path(folder)) as append:
            for rows in _checked(path, asked):
                columns |= {name for row in rows for name, value in row.items() if value}
                answered += len(rows)
                append(as_tables({benchmark: _answers(rows, asked)}))
        found = score(data, Path(folder), milestones, seed)
    hidden = ("ceiling", *(prefix for column, names in NEEDS.items() if column not in columns for prefix in names))
    scores = {
        key: {name: value for name, value in values.items() if not name.startswith(hidden)}
        for key, values in found["scores"].items()
        if not key.startswith("grounding/")  # of a heat map, which only our own predictions hold
    }
    kept = {key: found["intervals"].get(key, {}) for key in scores}
    return {"scores": scores, "intervals": kept, "answered": answered, "protocols": found["protocols"]}


def _checked(path: Path, asked: Asked) -> Iterator[list[Row]]:
    """The rows of a file, a part at a time: of LVIS there may be millions. What is no answer is told at the end."""
    count, faults, first, seen = 0, 0, "it has no rows", set[str]()
    wrong = _checker(asked.benchmark)
    rows = _read(path)
    # Levels are of an image, and any of its rows may tell them: such a file is read as a whole.
    while part := list(islice(rows, None if asked.benchmark == GIVEN else PART)):
        for row in part:
            count, query = count + 1, str(row.get("query_id"))
            if fault := _unasked(query, asked, seen) or wrong(row, asked.image(query) or "", asked):
                faults, first = faults + 1, first if faults else f"row {count}: {fault}"
            seen.add(query)
        if not faults:
            yield part
    if faults or not count:
        raise UserError(f"{path}: {faults} of {count} rows are no answers to {asked.benchmark}; {first}")


def _read(path: Path) -> Iterator[Row]:
    try:
        if path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as lines:
                yield from (dict(json.loads(line)) for line in lines if line.strip())
        else:
            for batch in pq.ParquetFile(path).iter_batches(PART):
                yield from batch.to_pylist()
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise UserError(f"{path}: not readable as Parquet or JSONL of predictions ({error})") from error


def _checker(benchmark: str) -> Callable[[Row, str, Asked], str | None]:
    """What finds the fault of a row, given its image, in the columns that are scored."""
    if benchmark in SPOKEN:
        return lambda row, image, asked: None if isinstance(row.get("text"), str) else "no text"
    return _wrong_relevance if benchmark == GIVEN else _wrong_boxes


def _unasked(query: str, asked: Asked, seen: set[str]) -> str | None:
    image = asked.image(query)
    if image is None:
        return f"query_id {query!r} is no question of this benchmark"
    if image not in asked.sizes:
        return f"query_id {query!r}: image {image!r} is not in the index; expected <question>@<image>"
    return f"a second answer to {query!r}" if query in seen else None


def _wrong_boxes(row: Row, image: str, asked: Asked) -> str | None:
    boxes, scores = _numbers(row.get("boxes"), 4), _numbers(row.get("scores"))
    if boxes is None:
        return "boxes are not lists of four numbers, or not finite"
    if (boxes[:, 2:] < 0).any():
        return "a box's width or height is negative"
    if scores is None:
        return "scores are not a list of finite numbers"
    counts = row.get("counts") or []
    if not isinstance(counts, list):
        return f"counts are {str(counts)[:40]!r}; expected a list of texts, one a box"
    for name, length in {"scores": len(scores), "counts": len(counts)}.items():
        if length not in (0, len(boxes)):
            return f"{length} {name} for {len(boxes)} boxes"
    if len(boxes) > 1 and not len(scores):
        return "several boxes without scores"
    return _wrong_counts(counts, asked.sizes[image]) or _wrong_point(row.get("point"), asked.sizes[image])


def _wrong_counts(counts: list[Any], size: tuple[int, int]) -> str | None:
    """pycocotools, which compares the masks, trusts their runs: those that do not fit the image never reach it."""
    for index, reason in enumerate(Masks.sift(counts, size)[1]):
        if reason:
            return f"counts {index} are no mask of the image's {size[1]}x{size[0]}: {reason}"
    return None


def _wrong_point(point: Any, size: tuple[int, int]) -> str | None:
    numbers = _numbers(point)
    if numbers is None or len(numbers) not in (0, 2):
        return f"point is {str(point)[:40]}; expected x, y in pixels"
    if (numbers < -1).any() or (numbers > size[::-1][: len(numbers)]).any():  # a pixel of slack, as for boxes
        return f"point {point} is outside the image's {size[1]}x{size[0]}"
    return None


def _wrong_relevance(row: Row, image: str, asked: Asked) -> str | None:
    relevance, levels, masks = _numbers(row.get("relevance")), row.get("levels") or [], asked.given[image]
    if relevance is None or len(relevance) != masks or (relevance < 0).any() or (relevance > 1).any():
        return f"relevance is {str(row.get('relevance'))[:40]}; expected {masks} numbers in 0..1, one a given mask"
    if levels and not (isinstance(levels, list) and len(levels) == masks and all(level in LEVELS for level in levels)):
        return f"levels are {str(levels)[:40]}; expected {masks}, one a given mask, of {', '.join(LEVELS)}"
    return None


def _numbers(value: Any, width: int | None = None) -> NDArray[np.float64] | None:
    """Finite numbers float64 [n], with `width` [n, width], none for null; None where the value is anything else."""
    try:
        array = np.asarray([] if value is None else value)
    except ValueError:  # rows of several lengths
        return None
    if not array.size:
        array = np.empty((0, width) if width else 0)
    sound = array.dtype.kind in "iuf" and array.ndim > 0 and array.shape[1:] == ((width,) if width else ())
    return array.astype(np.float64) if sound and (np.abs(array) <= LARGEST).all() else None


def _answers(rows: list[Row], asked: Asked) -> list[Row]:
    """Rows of a predictions file; only what was checked goes on, and the image is the question's."""
    keys: list[Row] = [{"query_id": str(row["query_id"]), "image": asked.image(str(row["query_id"]))} for row in rows]
    if asked.benchmark in SPOKEN:
        return [key | {"text": row["text"]} for key, row in zip(keys, rows, strict=True)]
    if asked.benchmark != GIVEN:
        return [_ranked(row) | key for key, row in zip(keys, rows, strict=True)]
    # Levels are of an image: one of its rows may tell them for all.
    levels = {image: [""] * masks for image, masks in asked.given.items()}
    levels |= {key["image"]: row["levels"] for key, row in zip(keys, rows, strict=True) if row.get("levels")}
    return [
        NOTHING | EMPTY | key | {"relevance": row["relevance"], "levels": levels[key["image"]]}
        for key, row in zip(keys, rows, strict=True)
    ]


def _ranked(row: Row) -> Row:
    """The row's columns about boxes, those with the highest score first."""
    filled = NOTHING | EMPTY | {name: row[name] for name in ("boxes", "counts", "scores", "point") if row.get(name)}
    count = len(filled["boxes"])
    filled["scores"] = filled["scores"] or [1.0] * count
    order = np.argsort(-np.asarray(filled["scores"], float), kind="stable")
    filled["relevance"] = filled["scores"]
    lists = {name: filled[name] for name in ("boxes", "counts", "scores", "relevance") if len(filled[name]) == count}
    return filled | {name: [values[i] for i in order] for name, values in lists.items()}
