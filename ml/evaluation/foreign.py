"""Scores of predictions that any other model made: `arrcoc score`.

A Parquet or JSONL file, a row a question of `queries/<benchmark>.parquet`: query_id and boxes (xywh, pixels), with
scores where there are several; counts (COCO RLE, one a box), point (x, y) and the relevance benchmark's relevance as
far as the model has them. For LVIS, query_id is `<category id>@<image>`. For captions and VQA: query_id and text.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import UserError
from ml.evaluation.outcomes import NOTHING
from ml.evaluation.predictions import SPOKEN, Row, write
from ml.evaluation.scores import require, score
from ml.params import Milestones

EMPTY: Row = {"counts": [], "scores": [], "relevance": [], "grounding": [], "levels": []}
NEEDS = {  # column -> the scores that say nothing without it
    "counts": ("gIoU", "cIoU", "P@", "mask "),
    "point": ("pointing",),
    "levels": ("level accuracy",),
    "relevance": ("grounding IoU",),
}


def score_file(data: Path, path: Path, benchmark: str, milestones: Milestones, seed: int) -> dict[str, Any]:
    """What `score` says of a file of predictions, and how many questions it answers.

    Raises:
        UserError: no such benchmark, or rows that are no answers to it; they are counted, and the first is named.
    """
    require(data)
    known = sorted(file.stem for file in (data / "queries").glob("*.parquet"))
    if benchmark not in known:
        raise UserError(f"benchmark {benchmark!r} is unknown; {data} has {', '.join(known)}")
    rows = _read(path)
    _check(path, rows, data, benchmark)
    columns = {name for row in rows for name, value in row.items() if value}
    with TemporaryDirectory() as folder:
        write({benchmark: [_ranked(row) for row in rows]}, Path(folder))
        found = score(data, Path(folder), milestones, seed)
    hidden = ("ceiling", *(prefix for column, names in NEEDS.items() if column not in columns for prefix in names))
    scores = {
        key: {name: value for name, value in values.items() if not name.startswith(hidden)}
        for key, values in found["scores"].items()
        if not key.startswith("grounding/")  # of a heat map, which only our own predictions hold
    }
    kept = {key: found["intervals"].get(key, {}) for key in scores}
    return {"scores": scores, "intervals": kept, "answered": len(rows), "protocols": found["protocols"]}


def _read(path: Path) -> list[Row]:
    try:
        if path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
            return [dict(json.loads(line)) for line in lines if line.strip()]
        return pq.read_table(path).to_pylist()
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise UserError(f"{path}: not readable as Parquet or JSONL of predictions ({error})") from error


def _check(path: Path, rows: list[Row], data: Path, benchmark: str) -> None:
    questions = set(pq.read_table(data / "queries" / f"{benchmark}.parquet")["query_id"].to_pylist())
    images = set(pq.read_table(data / "images.parquet")["image"].to_pylist())
    faults: list[str] = []
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        wrong = _unsaid if benchmark in SPOKEN else _no_boxes
        if fault := _fault(row, questions, seen) or wrong(row) or _foreign_image(row, benchmark, images):
            faults.append(f"row {number}: {fault}")
        seen.add(str(row.get("query_id")))
    if faults or not rows:
        first = faults[0] if faults else "it has no rows"
        raise UserError(f"{path}: {len(faults)} of {len(rows)} rows are no answers to {benchmark}; {first}")


def _fault(row: Row, questions: set[str], seen: set[str]) -> str | None:
    query = str(row.get("query_id"))
    if query.partition("@")[0] not in questions:
        return f"query_id {query!r} is no question of this benchmark"
    if query in seen:
        return f"a second answer to {query!r}"
    return None


def _unsaid(row: Row) -> str | None:
    return None if isinstance(row.get("text"), str) else "no text"


def _no_boxes(row: Row) -> str | None:
    try:
        boxes = np.asarray(row.get("boxes") or [], float).reshape(-1, 4)
        scores = np.asarray(row.get("scores") or [], float)
    except (ValueError, TypeError):
        return "boxes are not lists of four numbers"
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < 0).any():
        return "a box is not finite, or its width or height is negative"
    lengths = {"scores": len(scores), "counts": len(row.get("counts") or [])}
    for name, length in lengths.items():
        if length not in (0, len(boxes)) and boxes.size:
            return f"{length} {name} for {len(boxes)} boxes"
    return "several boxes without scores" if len(boxes) > 1 and not len(scores) else None


def _foreign_image(row: Row, benchmark: str, images: set[str]) -> str | None:
    if benchmark != "lvis":
        return None
    image = f"lvis/{str(row['query_id']).partition('@')[2]}"
    return None if image in images else f"image {image!r} is not in the index"


def _ranked(row: Row) -> Row:
    """The row with all columns of a predictions file, its boxes with the highest score first."""
    filled = NOTHING | EMPTY | {name: value for name, value in row.items() if value is not None}
    filled["image"] = filled.get("image") or f"lvis/{row['query_id'].partition('@')[2]}"
    count = len(filled["boxes"])
    filled["scores"] = filled["scores"] or [1.0] * count
    order = np.argsort(-np.asarray(filled["scores"], float), kind="stable")[:count]
    lists = {name: filled[name] for name in ("boxes", "counts", "scores") if len(filled[name]) == count}
    return filled | {name: [values[i] for i in order] for name, values in lists.items()}
