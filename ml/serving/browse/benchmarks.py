"""The benchmarks: questions with what was answered, the worst first, and one question with truth and answer."""

from collections import Counter
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import UserError
from ml.evaluation.predictions.plan import GIVEN
from ml.serving.browse.tables import PAGE, Row, Stamp, stamp, where
from ml.serving.browse.wrongness import MEASURES, REGION, judged
from ml.workspace import Workspace

STAGE, DATA = "benchmark_scores", "benchmark_data"


def names(ws: Workspace) -> list[str]:
    """The benchmarks that were answered and whose truth is there."""
    answered = {path.stem for path in _predictions(ws).glob("*.parquet")}
    return sorted(path.stem for path in (ws.stage(DATA) / "truth").glob("*.parquet") if path.stem in answered)


def page(ws: Workspace, name: str, split: str, kind: str, start: int) -> Row:
    """PAGE questions of a split and a kind ("": any), the worst answered first.

    Raises:
        UserError: there is no such benchmark.
    """
    table = _table(ws, name)
    chosen = table
    for column, value in (("split", split), ("kind", kind)):
        chosen = chosen.filter(pc.equal(chosen[column], value)) if value else chosen
    counts = {f"{column}s": dict(sorted(Counter(table[column].to_pylist()).items())) for column in ("split", "kind")}
    questions = chosen.slice(start, PAGE).to_pylist()
    place = {"start": start, "page": PAGE, "total": len(chosen)}
    return {"questions": questions, "measure": MEASURES.get(name, REGION).words, **place, **counts}


def question(ws: Workspace, name: str, query_id: str) -> Row:
    """One question: its row of `judged`, the image's size, its whole truth and answer; of given masks their counts.

    Raises:
        UserError: there is no such benchmark or question.
    """
    table, data = _table(ws, name), ws.stage(DATA)
    rows = table.filter(pc.equal(table["query_id"], query_id)).to_pylist()
    if not rows:
        raise UserError(f"{name}: no question {query_id!r}")
    asked, file = rows[0], f"{name}.parquet"
    (image,) = where(data / "images.parquet", "image", asked["image"])
    (truth,) = where(data / "truth" / file, "query_id", query_id)
    answer = where(_predictions(ws) / file, "query_id", query_id)
    told = {"question": asked, "size": [image["height"], image["width"]], "truth": truth}
    given = where(data / "regions" / file, "image", asked["image"]) if name == GIVEN else []
    counts = given[0]["counts"] if given else None
    measure = MEASURES.get(name, REGION).words
    return told | {"answer": answer[0] if answer else None, "given": counts, "measure": measure}


def _table(ws: Workspace, name: str) -> pa.Table:
    if name not in (known := names(ws)):
        have = ", ".join(known) or f"none; arrcoc run --select +{STAGE}"
        raise UserError(f"{STAGE}: no benchmark {name!r}; there are {have}")
    data, predictions = ws.stage(DATA), _predictions(ws)
    files = (data / "truth" / f"{name}.parquet", predictions / f"{name}.parquet")
    return _judged(data, predictions, name, (stamp(files[0]), stamp(files[1])))


@lru_cache(maxsize=8)
def _judged(data: Path, predictions: Path, name: str, _: tuple[Stamp, Stamp]) -> pa.Table:
    return judged(data, predictions, name)


def _predictions(ws: Workspace) -> Path:
    return ws.stage(STAGE) / "predictions"
