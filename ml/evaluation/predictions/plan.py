"""Which questions are put to which image, from a `benchmark_data` folder without its answers.

What is asked of every image is held once: LVIS asks 1,203 names of 19,809 images, 24 million questions.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ml.evaluation.benchmarks.lvis import pair_id

SPLITS = {
    "flickr30k": {"test", "ways"},
    "flickr30k_captions": {"test"},
}  # what is predicted; every split of the benchmarks not named here
GIVEN, DETECTION = "relevance", "lvis"  # the benchmark whose masks are given, and the one that is asked of every image
CAPTIONS, VQA = "flickr30k_captions", "vqa"  # those whose answers are words
SPOKEN = (CAPTIONS, VQA)


@dataclass(frozen=True)
class Question:
    """A question, without its answer."""

    benchmark: str
    query_id: str
    text: str


@dataclass(frozen=True)
class Work:
    """An image: what is asked of it, what is asked of all images of its folder, the masks of the input, if any."""

    image: str
    own: Sequence[Question]
    common: Sequence[Question]
    counts: Sequence[str] | None

    @property
    def questions(self) -> list[Question]:
        """All questions to the image, each with its id there."""
        name = self.image.partition("/")[2]
        return [*self.own, *(replace(asked, query_id=pair_id(name, asked.query_id)) for asked in self.common)]


def plan(data: Path, splits: dict[str, set[str]] | None = None) -> list[Work]:
    """The work on a `benchmark_data` folder, an entry an image, sorted; `splits` names those of some benchmarks."""
    asked: dict[str, list[Question]] = defaultdict(list)
    for place, question in _questions(data, SPLITS if splits is None else splits):
        asked[place].append(question)
    images = pq.read_table(data / "images.parquet", columns=["image"])["image"].to_pylist()
    targets = {image for image in images if _folder(image) in asked}
    targets |= {place for place in asked if not place.endswith("/")}
    regions = {
        row["image"]: row["counts"]
        for file in sorted((data / "regions").glob("*.parquet"))
        for row in pq.read_table(file).to_pylist()
    }
    return [
        Work(image, asked.get(image, ()), asked.get(_folder(image), ()), regions.get(image))
        for image in sorted(targets)
    ]


def _questions(data: Path, splits: dict[str, set[str]]) -> Iterator[tuple[str, Question]]:
    """Each question with its image, or with the folder all of whose images it is put to."""
    for file in sorted((data / "queries").glob("*.parquet")):
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        for row in rows:
            if file.stem not in splits or row["split"] in splits[file.stem]:
                yield row["image"], Question(file.stem, row["query_id"], row["text"])


def _folder(image: str) -> str:
    return image.partition("/")[0] + "/"
