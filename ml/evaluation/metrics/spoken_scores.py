"""Scores of what the model says: BLEU of captions, accuracy of answers.

BLEU is sacrebleu's (Post, 2018), of the whole corpus, up to four words, lower case. An answer is right where it is the
commonest of the ten people's; VQA accuracy (Antol et al., 2015) is min(people who said so / 3, 1), averaged over all
choices of nine of them. Both compare without case, articles and punctuation, and numbers as digits.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU

from ml.evaluation.metrics import basics as metrics
from ml.evaluation.predictions.files import read

ARTICLES = ("a", "an", "the")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {word: str(number) for number, word in enumerate(NUMBERS)}
ENOUGH = 3  # people who say the same
WORDS = 4  # of BLEU's longest phrase


@dataclass(frozen=True)
class Spoken:
    """What was said of an image or to a question, and what people said of it."""

    image: str
    kind: str
    said: str
    truth: dict[str, Any]


def spoken(data: Path, predictions: Path, benchmark: str) -> dict[str, list[Spoken]]:
    """A benchmark's questions by split, each with its prediction: "" where there is none."""
    predicted = read(predictions / f"{benchmark}.parquet")
    truth = read(data / "truth" / f"{benchmark}.parquet")
    splits: dict[str, list[Spoken]] = defaultdict(list)
    answered = set()
    for query in pq.read_table(data / "queries" / f"{benchmark}.parquet").to_pylist():
        row = predicted.get(query["query_id"])
        answered |= {query["split"]} if row else set()
        said = row["text"] if row else ""
        splits[query["split"]].append(Spoken(query["image"], query["kind"], said, truth[query["query_id"]]))
    return {split: found for split, found in splits.items() if split in answered}


def caption_scores(found: Sequence[Spoken], seed: int) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """BLEU-4 with its interval; beside it what the captions reach when each is told of the next image."""
    counts = _bleu_counts([f.said for f in found], found)
    others = _bleu_counts([f.said for f in [*found[1:], *found[:1]]], found)
    scores = {"BLEU-4": _bleu(counts.sum(0)), "BLEU-4 of the next image": _bleu(others.sum(0))}
    drawn = metrics.resampled([f.image for f in found], seed)
    per_image = metrics.summed_by([f.image for f in found], counts)
    return scores, {"BLEU-4": metrics.interval([_bleu(row) for row in drawn @ per_image])}


def answer_scores(found: Sequence[Spoken]) -> dict[str, float]:
    """Exact match and VQA accuracy; beside them what always saying the commonest answer of a type reaches."""
    prior = commonest(found)
    return {
        "exact match": _mean(found, exact),
        "VQA accuracy": _mean(found, vqa_accuracy),
        "commonest answer": _mean(found, lambda f: plain(prior[f.kind]) == plain(f.truth["answer"])),
    }


def exact(found: Spoken) -> bool:
    """Whether the answer is the one that most people gave."""
    return plain(found.said) == plain(found.truth["answer"])


def vqa_accuracy(found: Spoken) -> float:
    """VQA's accuracy of one answer, in [0, 1]."""
    agree = [plain(answer) == plain(found.said) for answer in found.truth["answers"]]
    return float(np.mean([min((sum(agree) - one) / ENOUGH, 1) for one in agree]))


def plain(answer: str) -> str:
    """An answer as it is compared: "A red car." is "red car", "two" is "2"."""
    words = re.sub(r"[^\w\s'/:-]", " ", answer.lower()).split()
    return " ".join(DIGITS.get(word, word) for word in words if word not in ARTICLES)


def commonest(found: Sequence[Spoken]) -> dict[str, str]:
    """The commonest true answer of each type of answer; of equals the first by name."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for f in sorted(found, key=lambda f: f.truth["answer"]):
        answers[f.kind][f.truth["answer"]] += 1
    return {kind: counter.most_common(1)[0][0] for kind, counter in answers.items()}


def _bleu_counts(said: Sequence[str], found: Sequence[Spoken]) -> NDArray[np.float64]:
    """What BLEU sums up, a row a caption: matched phrases of 1 to 4 words, all of them, words, words of the truth."""
    bleu = BLEU(lowercase=True, max_ngram_order=WORDS, effective_order=True)
    rows = [bleu.sentence_score(text, f.truth["references"]) for text, f in zip(said, found, strict=True)]
    return np.array([[*row.counts, *row.totals, row.sys_len, row.ref_len] for row in rows], float)


def _bleu(counts: NDArray[np.float64]) -> float:
    """Corpus BLEU in [0, 1] of summed counts [2 * WORDS + 2]."""
    parts = [int(value) for value in counts]
    found = BLEU.compute_bleu(parts[:WORDS], parts[WORDS:-2], parts[-2], parts[-1], max_ngram_order=WORDS)
    return float(found.score) / 100


def _mean(found: Sequence[Spoken], score: Callable[[Spoken], float]) -> float:
    return float(np.mean([score(f) for f in found]))
