"""What the shards of a training set hold, counted a few images at a time: masks, words, and what was left out."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.errors import UserError
from ml.masks import Masks

IMAGES = 64  # read at once
WORD = re.compile(r"[\w']+")
COLUMNS = ["width", "height", "caption", "counts", "boxes", "levels", "predicted_ious", "stability_scores", "phrases"]
COLUMNS += ["queries", "relevance", "questions"]
BINS: dict[str, NDArray[np.float64]] = {  # edges; what lies outside counts in the outermost bin
    "masks an image": np.arange(-0.5, 101),
    "area / image": np.logspace(-5, 0, 51),
    "predicted IoU": np.linspace(0.5, 1.1, 61),
    "stability score": np.linspace(0.7, 1.0, 61),
    "width / height": np.logspace(-4, 4, 49, base=2),
    "covered by masks": np.linspace(0, 1, 51),
    "words a query": np.arange(-0.5, 25),
    "relevance": np.linspace(0, 1, 51),
}
LOGARITHMIC = {"area / image", "width / height"}
LOPSIDED = {"covered by masks", "relevance"}  # nearly all in one bin


@dataclass
class Texts:
    """The lengths and the words of many texts. A word is letters, digits and apostrophes, in small letters."""

    lengths: Counter[int] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    def add(self, texts: Iterable[str]) -> None:
        """Count the texts that are not empty."""
        for text in filter(None, texts):
            words = WORD.findall(text.lower())
            self.lengths[len(words)] += 1
            self.words.update(words)

    def row(self) -> dict[str, int | float]:
        """How many texts, how long in words, how many different words."""
        count = self.lengths.total()
        mean = sum(length * n for length, n in self.lengths.items()) / max(count, 1)
        longest = max(self.lengths, default=0)
        return {
            "texts": count,
            "mean words": round(mean, 2),
            "most words": longest,
            "distinct words": len(self.words),
        }


@dataclass
class Statistics:
    """What a group of shards holds.

    Attributes:
        histograms: counts in the bins of BINS, by its names.
        levels, described: masks, and masks with a phrase, by level.
        kinds: queries by kind.
        lost: (stage, reason) -> images or masks that it left out.
        present, kept: masks before and after `filtered_masks`.
    """

    histograms: dict[str, NDArray[np.int64]] = field(
        default_factory=lambda: {name: np.zeros(len(edges) - 1, np.int64) for name, edges in BINS.items()}
    )
    levels: Counter[str] = field(default_factory=Counter)
    described: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    texts: dict[str, Texts] = field(
        default_factory=lambda: {name: Texts() for name in ("captions", "phrases", "queries", "questions", "answers")}
    )
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    images: int = 0
    present: int = 0
    kept: int = 0

    def add_shard(self, rejects: Path, kept: Path, labels: Path) -> None:
        """Count a shard from the files of `mask_index`, `filtered_masks` and `pseudo_labels`.

        Raises:
            UserError: a file is missing or no Parquet.
        """
        before = self.images
        with _open(labels, "pseudo_labels") as file:
            for batch in file.iter_batches(IMAGES, columns=COLUMNS):
                self._add_images(batch.to_pylist())
        with _open(rejects, "mask_index") as file:
            self.lost.update(("mask_index", reason) for reason in file.read(["reason"])["reason"].to_pylist())
        with _open(kept, "filtered_masks") as file:
            self._add_kept(file, self.images - before)

    def _add_kept(self, file: pq.ParquetFile, labelled: int) -> None:
        stats = json.loads(file.metadata.metadata[b"arrcoc.stats"])
        self.present, self.kept = self.present + stats["present"], self.kept + stats["kept"]
        self.lost.update({("filtered_masks", reason): count for reason, count in stats["dropped"].items()})
        images = pc.count_distinct(file.read(["image_id"])["image_id"]).as_py()
        if images > labelled:
            self.lost["pseudo_labels", "the image can't be read"] += images - labelled

    def _add_images(self, rows: Sequence[dict[str, Any]]) -> None:
        self.images += len(rows)
        measured = [_measure(row) for row in rows]
        for name, edges in BINS.items():
            values = np.concatenate([image[name] for image in measured])
            self.histograms[name] += np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        for row in rows:
            self.levels.update(row["levels"])
            self.described.update(level for level, phrase in zip(row["levels"], row["phrases"], strict=True) if phrase)
            self.kinds.update(query["kind"] for query in row["queries"])
            for name, texts in _texts(row).items():
                self.texts[name].add(texts)


def _measure(row: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The values of an image that the histograms count."""
    masks, pixels = Masks.parse(row["counts"], (row["height"], row["width"])), row["height"] * row["width"]
    sides = np.array(row["boxes"], np.float64).reshape(-1, 4)[:, 2:] + 1  # SA-1B's are one less than the pixels
    return {
        "masks an image": np.array([len(masks)]),
        "area / image": masks.areas() / pixels,
        "predicted IoU": np.array(row["predicted_ious"], np.float64),
        "stability score": np.array(row["stability_scores"], np.float64),
        "width / height": sides[:, 0] / sides[:, 1],
        "covered by masks": masks.union().areas() / pixels,
        "words a query": np.array([len(WORD.findall(query["text"])) for query in row["queries"]], np.float64),
        "relevance": np.array(row["relevance"], np.float64).ravel(),
    }


def _texts(row: dict[str, Any]) -> dict[str, list[str]]:
    questions = row["questions"]
    return {
        "captions": [row["caption"]],
        "phrases": row["phrases"],
        "queries": [query["text"] for query in row["queries"]],
        "questions": [question["question"] for question in questions],
        "answers": [question["answer"] for question in questions],
    }


def _open(path: Path, stage: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: not readable as Parquet ({error}); run {stage} for this shard") from error
