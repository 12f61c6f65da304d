"""How right each answer to a benchmark's question is, by the benchmark's own measure: 1 is right, 0 is wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sacrebleu.metrics import BLEU

from ml.evaluation.metrics.basics import best_iou
from ml.evaluation.metrics.relevance_scores import RELEVANT
from ml.evaluation.metrics.spoken_scores import Spoken, vqa_accuracy
from ml.evaluation.predictions.plan import CAPTIONS, DETECTION, GIVEN, VQA
from ml.serving.browse.tables import Row, opened

ABSENCE = "absence"
BATCH = 8192  # answers that are held at a time
OF_A_SENTENCE = BLEU(lowercase=True, effective_order=True)
JUDGED = pa.schema(
    [*((name, pa.string()) for name in ("query_id", "split", "image", "text", "kind")), ("score", pa.float64())]
)


@dataclass(frozen=True)
class Measure:
    """A score of an answer in [0, 1], in words, and of which columns; an answer {} says nothing."""

    words: str
    truth: tuple[str, ...]
    answer: tuple[str, ...]
    score: Callable[[Row, Row], float]


def _region(truth: Row, answer: Row) -> float:
    return float(best_iou(answer.get("boxes", [])[:1], truth["boxes"]).max(initial=0.0))


def _detection(truth: Row, answer: Row) -> float:
    if not truth["boxes"]:
        return 1 - max([0.0, *answer.get("scores", [])])
    return float(np.mean(best_iou(truth["boxes"], answer.get("boxes", []))))


def _relevance(truth: Row, answer: Row) -> float:
    true = np.array(truth["relevance"])
    ours = np.array(answer.get("relevance", np.zeros(len(true))))
    return float(((ours > RELEVANT) == (true > RELEVANT)).mean())


def _absence(truth: Row, answer: Row) -> float:
    highest = max([0.0, *answer.get("scores", [])])
    return highest if truth["present"] else 1 - highest


def _answer(truth: Row, answer: Row) -> float:
    return vqa_accuracy(Spoken("", "", answer.get("text", ""), truth))


def _caption(truth: Row, answer: Row) -> float:
    return OF_A_SENTENCE.sentence_score(answer.get("text", ""), truth["references"]).score / 100


REGION = Measure("IoU of the best mask's box with the nearest true one", ("boxes",), ("boxes",), _region)
MEASURES = {
    DETECTION: Measure(
        "mean over the true boxes of the best IoU of any detection; where there are none, 1 - the highest score",
        ("image", "boxes"),
        ("boxes", "scores"),
        _detection,
    ),
    GIVEN: Measure("share of the given masks judged as the truth has them", ("relevance",), ("relevance",), _relevance),
    ABSENCE: Measure("score of the best mask, 1 - it where nothing is there", ("present",), ("scores",), _absence),
    VQA: Measure("VQA accuracy", ("answer", "answers"), ("text",), _answer),
    CAPTIONS: Measure("BLEU-4 of the sentence", ("references",), ("text",), _caption),
}  # of whatever is not named here: REGION


def judged(data: Path, predictions: Path, name: str) -> pa.Table:
    """The questions of a benchmark, the worst answered first (schema JUDGED); splits without any answer are left out.

    Reads what `benchmark_data` and `benchmark_scores` wrote, the columns alone that the measure is of.

    Raises:
        UserError: a file is missing.
    """
    measure = MEASURES.get(name, REGION)
    truth = _by_id(data / "truth" / f"{name}.parquet", measure.truth)
    queries = _by_id(data / "queries" / f"{name}.parquet", ("split", "image", "text", "kind"))
    scores = dict(_scores(predictions / f"{name}.parquet", truth, measure))
    asked = [_asked(query_id, queries, row) for query_id, row in truth.items()]
    splits = {row["split"] for row in asked if row["query_id"] in scores}
    rows = [row for row in asked if row["split"] in splits]
    for row in rows:
        query_id = row["query_id"]
        row["score"] = scores[query_id] if query_id in scores else measure.score(truth[query_id], {})
    rows.sort(key=lambda row: (row["score"], row["query_id"]))
    return pa.Table.from_pylist(rows, JUDGED)


def _scores(path: Path, truth: dict[str, Row], measure: Measure) -> Iterator[tuple[str, float]]:
    """The score of each answer to a question that has a truth: LVIS has thousands that nobody has annotated."""
    known = pa.array(truth, pa.string())
    with opened(path) as file:
        for batch in file.iter_batches(BATCH, columns=["query_id", *measure.answer]):
            for row in batch.filter(pc.is_in(batch["query_id"], known)).to_pylist():
                yield row["query_id"], measure.score(truth[row["query_id"]], row)


def _by_id(path: Path, columns: tuple[str, ...]) -> dict[str, Row]:
    with opened(path) as file:
        return {row["query_id"]: row for row in file.read(["query_id", *columns]).to_pylist()}


def _asked(query_id: str, queries: dict[str, Row], truth: Row) -> Row:
    """A question with its image; one that is put to all images has the image of its truth."""
    query = queries.get(query_id) or queries[query_id.partition("@")[0]]
    return {**query, "query_id": query_id, "image": truth.get("image") or query["image"]}
