"""The ARR-COC sample: an image, its masks, a text, and the relevance of each mask to it."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset

from ml.errors import UserError
from ml.masks import Frame, Masks
from ml.sa1b.reading.frames import CELL, least_size, shown
from ml.sa1b.reading.padding import padded
from ml.sa1b.reading.reader import decode, read_jpeg

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
OPEN_SHARDS, ROW_GROUPS = 16, 8  # label files kept open, and parts of them kept in memory


class LazyMasks:
    """Masks that stay run lengths until asked: `self[i]` is bool [H, W]; `runs` serves coverage, IoU and areas.

    Not a `collections.abc.Sequence`: of those torch's DataLoader makes a new one of all the items, decoded.
    """

    def __init__(self, runs: Masks) -> None:
        self.runs = runs

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return torch.from_numpy(np.ascontiguousarray(self.runs.dense(range(len(self))[index])))

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self[i] for i in range(len(self)))


class ARRCOCSample(TypedDict):
    """One (image, query) of the training data.

    image: uint8 [3, H, W] RGB, as stored or in SAM's frame; coverage, with a frame only: float32 [N, S/16, S/16], the
    covered fraction of each cell of the feature grid; masks: N lazy bool [H, W] of the image as stored; text: the
    query; relevance: float32 [N] in [0, 1]; metadata: image_id, mask_ids, predicted_ious, stability_scores (lists of
    N), and the query's kind and target.
    """

    image: torch.Tensor
    coverage: NotRequired[torch.Tensor]
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
    """All (image, query) pairs of labelled shards, in order, by random access; images are read inside the tars.

    Of the data only a number an image is held, and a few parts of label files: a thousand shards take megabytes.
    """

    def __init__(self, labels: Sequence[Path], tars: Sequence[Path | str], side: int | None = None) -> None:
        """Count the queries of every image in the label files.

        Args:
            labels: the shards' `pseudo_labels` Parquet files.
            tars: their tars in the same order, each a path or an address like s3://bucket/sa_000000.tar.
            side: of SAM's frame, for images and coverage as training sees them; None: the image as stored.

        Raises:
            UserError: a label file can't be read, or there is not one for each tar.
        """
        self.labels, self.tars, self.side = list(labels), list(tars), side
        if len(self.labels) != len(self.tars):
            raise UserError(f"{len(self.labels)} label files for {len(self.tars)} tars; one of each a shard is wanted")
        queries = [_queries(path) for path in self.labels]
        self._images = np.cumsum([0, *map(len, queries)])  # before each shard
        self._samples = np.cumsum(np.concatenate([np.zeros(1, np.int64), *queries]))  # before each image

    def __len__(self) -> int:
        return int(self._samples[-1])

    def position(self, index: int) -> Position:
        """The shard, row and query of a sample.

        Raises:
            IndexError: no such sample.
        """
        place = range(len(self))[index]
        image = int(np.searchsorted(self._samples, place, "right")) - 1
        shard = int(np.searchsorted(self._images, image, "right")) - 1
        return Position(shard, int(image - self._images[shard]), int(place - self._samples[image]))

    def __getitem__(self, index: int) -> ARRCOCSample:
        shard, row, query = self.position(index)
        return sample(_row(self.labels[shard], row), query, self.tars[shard], self.side)


def sample(row: dict[str, Any], query: int, tar: Path | str, side: int | None = None) -> ARRCOCSample:
    """The sample of one query of a row of `pseudo_labels`."""
    data = _read(tar, row["jpeg_offset"], row["jpeg_bytes"])
    masks = Masks.parse(row["counts"], (row["height"], row["width"]))
    frame = None if side is None else Frame(None, False, side)
    asked = row["queries"][query]
    kept = ("image_id", "mask_ids", "predicted_ious", "stability_scores")
    made: ARRCOCSample = {
        "image": _stored(data) if frame is None else _framed(data, frame, masks.size),
        "masks": LazyMasks(masks),
        "text": asked["text"],
        "relevance": torch.tensor(row["relevance"][query], dtype=torch.float32),
        "metadata": {**{name: row[name] for name in kept}, "kind": asked["kind"], "target": asked["target"]},
    }
    if frame is not None:
        made["coverage"] = torch.from_numpy(masks.coverage((frame.out // CELL, frame.out // CELL), frame))
    return made


def _stored(data: bytes) -> torch.Tensor:
    return torch.from_numpy(decode(data)).permute(2, 0, 1).contiguous()


def _framed(data: bytes, frame: Frame, size: tuple[int, int]) -> torch.Tensor:
    seen = shown(decode(data, least_size(frame, size)), frame, size)
    return torch.from_numpy(padded(seen.numpy(), frame.out)[:3])


def _read(tar: Path | str, offset: int, nbytes: int) -> bytes:
    if not isinstance(tar, str) or not tar.startswith("s3://"):
        return read_jpeg(Path(tar), offset, nbytes)
    from ml.sa1b.sources.s3 import read_range

    return read_range(tar, offset, nbytes)


def _queries(path: Path) -> np.ndarray:
    """The number of queries of each image of a label file: int64, from one leaf of its column."""
    file, _ = _open(path)
    lists = file.read(columns=["queries.list.element.target"]).column(0)
    return np.concatenate([np.zeros(0, np.int64), *(chunk.value_lengths().to_numpy() for chunk in lists.chunks)])


def _row(path: Path, row: int) -> dict[str, Any]:
    _, starts = _open(path)
    group = int(np.searchsorted(starts, row, "right")) - 1
    return _group(path, group).slice(int(row - starts[group]), 1).to_pylist()[0]


@lru_cache(maxsize=ROW_GROUPS)
def _group(path: Path, group: int) -> pa.Table:
    file, _ = _open(path)
    return file.read_row_group(group, columns=list(COLUMNS), use_threads=False)


@lru_cache(maxsize=OPEN_SHARDS)
def _open(path: Path) -> tuple[pq.ParquetFile, np.ndarray]:
    """A label file, and the first row of each of its row groups."""
    try:
        file = pq.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: not readable as Parquet ({error}); run pseudo_labels for it again") from error
    rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    return file, np.cumsum([0, *rows])
