"""How far pseudo-labels agree with a truth that labelling never saw: a report, not a gate."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.labeling.language.english import SMALL, english
from ml.labeling.relevance import RELEVANT
from ml.masks import Masks
from ml.workspace.report import Report

COLUMNS = ["image_id", "height", "width", "counts", "phrases", "queries", "relevance"]

# (image id, masks, query texts) -> true relevance [Q, N] in [0, 1], true caption of each mask ("": of nothing)
Truth = Callable[[int, Masks, list[str]], tuple[NDArray[np.floating], list[str]]]


def score_labels(labels: Path, truth: Truth) -> Report:
    """Compare a shard's labels with the truth.

    Numbers are shares: queries whose target is truly relevant, or truly absent; (query, mask) pairs on the true side
    of 0.5, and of those that are or are said to be relevant, the share that is both; phrases with the true noun, with
    the true words.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    said: Counter[str] = Counter()
    for row in _rows(labels):
        masks = Masks.parse(row["counts"], (row["height"], row["width"]))
        true, captions = truth(row["image_id"], masks, [query["text"] for query in row["queries"]])
        said.update(_phrases(row["phrases"], captions))
        for query, ours, theirs in zip(row["queries"], row["relevance"], true, strict=True):
            found[query["kind"]].update(_query(np.array(ours), theirs, query["target"]))
    everything: Counter[str] = sum(found.values(), Counter())
    table = [{"kind": kind, "queries": found[kind]["queries"], **_shares(found[kind])} for kind in sorted(found)]
    numbers = _shares(everything)
    numbers |= {name: _share(said[name], said["phrases"]) for name in ("right noun", "right words")}
    return Report(numbers=numbers, tables={"label_scores": table})


def _rows(labels: Path) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(labels).iter_batches(batch_size=64, columns=COLUMNS):
        yield from batch.to_pylist()


def _query(ours: NDArray[np.floating], theirs: NDArray[np.floating], target: int) -> Counter[str]:
    """Counts for one query; relevance [N] of each."""
    relevant, truly = ours >= RELEVANT, theirs >= RELEVANT
    return Counter(
        {
            "queries": 1,
            "right target": int(truly[target] if target >= 0 else not truly.any()),
            "pairs": len(ours),
            "agreeing": int((relevant == truly).sum()),
            "either": int((relevant | truly).sum()),
            "both": int((relevant & truly).sum()),
        }
    )


def _phrases(said: Sequence[str], captions: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    told = [(ours, theirs) for ours, theirs in zip(said, captions, strict=True) if ours and theirs]
    read = english(SMALL).read(text for pair in told for text in pair)
    nouns = [{phrase.noun for phrase in what.things[:1]} for what in read]
    for (ours, theirs), mine, true in zip(told, nouns[::2], nouns[1::2], strict=True):
        counts["phrases"] += 1
        counts["right words"] += ours == theirs
        counts["right noun"] += bool(mine & true)
    return counts


def _shares(counts: Counter[str]) -> dict[str, float | int | str]:
    return {
        "right target": _share(counts["right target"], counts["queries"]),
        "relevance agreement": _share(counts["agreeing"], counts["pairs"]),
        "relevance overlap": _share(counts["both"], counts["either"]),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
