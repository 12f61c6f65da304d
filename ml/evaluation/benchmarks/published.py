"""How large the splits of a benchmark are as published: a smaller set is not called by the benchmark's name.

Kazemzadeh et al., 2014; Yu et al., 2016; Mao et al., 2016; Plummer et al., 2015; Goyal et al., 2017;
Gupta et al., 2019 (v1 and v0.5).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ml.evaluation.benchmarks.benchmark import Benchmark, Example

SIZES: dict[str, dict[str, tuple[int, ...]]] = {  # benchmark/split -> what is counted -> the sizes of its releases
    "refcoco/val": {"queries": (10_834,), "refs": (3_811,)},
    "refcoco/testA": {"queries": (5_657,), "refs": (1_975,)},
    "refcoco/testB": {"queries": (5_095,), "refs": (1_810,)},
    "refcoco+/val": {"queries": (10_758,), "refs": (3_805,)},
    "refcoco+/testA": {"queries": (5_726,), "refs": (1_975,)},
    "refcoco+/testB": {"queries": (4_889,), "refs": (1_798,)},
    "refcocog/val": {"queries": (4_896,), "refs": (2_573,)},
    "refcocog/test": {"queries": (9_602,), "refs": (5_023,)},
    "refcocog_google/val": {"queries": (9_536,)},
    "flickr30k/val": {"images": (1_000,)},
    "flickr30k/test": {"images": (1_000,)},
    "flickr30k_captions/val": {"images": (1_000,)},
    "flickr30k_captions/test": {"images": (1_000,)},
    "vqa/val": {"queries": (214_354,)},
    "lvis/val": {"images": (19_809, 5_000)},
}


@dataclass(frozen=True)
class Split:
    """What was read of a split: `published` sizes by what is counted, {} where none is known."""

    queries: int
    refs: int
    images: int
    published: dict[str, tuple[int, ...]]

    @property
    def complete(self) -> bool:
        """Whether all of it is there: each count is one that was published, or none is known."""
        return all(getattr(self, what) in sizes for what, sizes in self.published.items())


def splits(benchmark: Benchmark) -> dict[str, Split]:
    """The splits of a benchmark with their sizes."""
    members: dict[str, list[Example]] = {}
    for example in benchmark.examples:
        members.setdefault(example.split, []).append(example)
    return {split: _split(benchmark, split, examples) for split, examples in sorted(members.items())}


def label(benchmark: str, split: str, row: dict[str, Any]) -> str:
    """The name under which a split is scored: its own, or with `-partial` where it is not all of what was published."""
    return f"{benchmark}/{split}" if row["complete"] else f"{benchmark}-partial/{split}"


def lacking(rows: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """A line for each split that is not all of what was published."""
    return [
        f"{name}: {row[what]} {what}, published are {' or '.join(f'{size:,}' for size in sizes)}"
        for name, row in rows
        if not row["complete"]
        for what, sizes in row["published"].items()
    ]


def _split(benchmark: Benchmark, split: str, examples: list[Example]) -> Split:
    asked = {example.image for example in examples}
    images = len(benchmark.images) if asked == {""} else len(asked)
    refs = len({example.query_id.partition("_")[0] for example in examples})
    return Split(len(examples), refs, images, SIZES.get(f"{benchmark.name}/{split}", {}))
