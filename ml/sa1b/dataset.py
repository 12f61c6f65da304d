"""The ARR-COC sample: an image, its masks, a text, and the relevance of each mask to it."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset

from ml.errors import UserError
from ml.masks import Masks
from ml.sa1b.reader import decode, read_jpeg

COLUMNS = (
    "image_id",
    "width",
    "height",
    "jpeg_offset",
    "jpeg_bytes",
    "mask_ids",
    "counts",
    "predicted_ious",
    "stability_scores",
    "queries",
    "relevance",
)
OPEN_SHARDS = 4  # label tables kept in memory


class LazyMasks(Sequence[torch.Tensor]):
    """Masks that stay run lengths until asked: `self[i]` is bool [H, W]; `runs` serves coverage, IoU and areas."""

    def __init__(self, runs: Masks) -> None:
        self.runs = runs

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return torch.from_numpy(np.ascontiguousarray(self.runs.dense(range(len(self))[index])))


class ARRCOCSample(TypedDict):
    """One (image, query) of the training data.

    image: uint8 [3, H, W] RGB; masks: N lazy bool [H, W]; text: the query; relevance: float32 [N] in [0, 1];
    metadata: image_id, mask_ids, predicted_ious, stability_scores (lists of N), and the query's kind and target.
    """

    image: torch.Tensor
    masks: LazyMasks
    text: str
    relevance: torch.Tensor
    metadata: dict[str, Any]


class Position(NamedTuple):
    """Where a sample lies: number of the shard, row of its labels, number of the query."""

    shard: int
    row: int
    query: int


class ARRCOCDataset(Dataset[ARRCOCSample]):
    """All (image, query) pairs of labelled shards, in order, by random access; images are read inside the tars."""

    def __init__(self, labels: Sequence[Path], tars: Sequence[Path]) -> None:
        """Args:
            labels: the shards' `pseudo_labels` Parquet files.
            tars: their tars, in the same order.

        Raises:
            UserError: a label file can't be read.
        """
        self.labels, self.tars = list(labels), list(tars)
        if len(self.labels) != len(self.tars):
            raise UserError(f"{len(self.labels)} label files for {len(self.tars)} tars; one of each a shard is wanted")
        counts = [_queries(path) for path in self.labels]
        self._shard = np.repeat(np.arange(len(counts)), [count.sum() for count in counts])
        self._row = np.concatenate([np.repeat(np.arange(len(count)), count) for count in [*counts, _NONE]])
        self._query = np.concatenate([np.arange(n) for count in counts for n in count] + [_NONE])

    def __len__(self) -> int:
        return len(self._shard)

    def position(self, index: int) -> Position:
        """The shard, row and query of a sample.

        Raises:
            IndexError: no such sample.
        """
        return Position(int(self._shard[index]), int(self._row[index]), int(self._query[index]))

    def __getitem__(self, index: int) -> ARRCOCSample:
        shard, row, query = self.position(index)
        return sample(_table(self.labels[shard]).slice(row, 1).to_pylist()[0], query, self.tars[shard])


def sample(row: dict[str, Any], query: int, tar: Path) -> ARRCOCSample:
    """The sample of one query of a row of `pseudo_labels`."""
    image = decode(read_jpeg(tar, row["jpeg_offset"], row["jpeg_bytes"]))
    asked = row["queries"][query]
    kept = ("image_id", "mask_ids", "predicted_ious", "stability_scores")
    return {
        "image": torch.from_numpy(image).permute(2, 0, 1).contiguous(),
        "masks": LazyMasks(Masks.parse(row["counts"], (row["height"], row["width"]))),
        "text": asked["text"],
        "relevance": torch.tensor(row["relevance"][query], dtype=torch.float32),
        "metadata": {**{name: row[name] for name in kept}, "kind": asked["kind"], "target": asked["target"]},
    }


_NONE = np.empty(0, np.int64)


def _queries(path: Path) -> np.ndarray:
    """The number of queries of each image of a label file."""
    lists = _read(path, ["queries"])["queries"]
    return np.array([len(queries) for queries in lists.to_pylist()], np.int64)


@lru_cache(maxsize=OPEN_SHARDS)
def _table(path: Path) -> pa.Table:
    return _read(path, list(COLUMNS))


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: not readable as Parquet ({error}); run pseudo_labels for it again") from error
