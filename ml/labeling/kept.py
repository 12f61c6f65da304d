"""The kept masks of a shard, image by image, read a row group at a time."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.errors import UserError
from ml.masks import Masks
from ml.sa1b.reading.reader import decode, read_jpeg


@dataclass(frozen=True)
class KeptImage:
    """One image of `filtered_masks` with its N masks: lists in the order of the rows."""

    image_id: int
    file_name: str
    width: int
    height: int
    jpeg_offset: int
    jpeg_bytes: int
    rows: list[dict[str, Any]]

    @property
    def levels(self) -> list[str]:
        """Level of each mask, [N]: part, object, group or scene."""
        return [row["level"] for row in self.rows]

    def masks(self) -> Masks:
        """The masks of all rows.

        Raises:
            MaskError: a row's counts do not describe a mask of the image's size.
        """
        return Masks.parse([row["counts"] for row in self.rows], (self.height, self.width))

    def areas(self) -> NDArray[np.int64]:
        """Pixels of each mask, i64 [N]."""
        return np.array([row["area"] for row in self.rows], np.int64)

    def parents(self) -> NDArray[np.int64]:
        """Index of each mask's parent, i64 [N], -1 for none."""
        index = {row["mask_id"]: i for i, row in enumerate(self.rows)}
        return np.array([index.get(row["parent_mask_id"], -1) for row in self.rows], np.int64)


def read_kept(path: Path) -> Iterator[KeptImage]:
    """The images of a `filtered_masks` file, in its order.

    Raises:
        UserError: the file is missing or no Parquet.
    """
    rows = (row for batch in _open(path).iter_batches(batch_size=4096) for row in batch.to_pylist())
    shared = ("image_id", "file_name", "width", "height", "jpeg_offset", "jpeg_bytes")
    for _, members in groupby(rows, key=lambda row: row["image_id"]):
        masks = list(members)
        yield KeptImage(**{name: masks[0][name] for name in shared}, rows=masks)


def decoded(
    images: Iterable[KeptImage], tar: Path, rejected: Counter[str]
) -> Iterator[tuple[KeptImage, NDArray[np.uint8] | None]]:
    """Each image with its pixels, uint8 [H, W, 3] RGB; None, counted in `rejected` by reason, where they are broken.

    Raises:
        UserError: the tar is missing or cut.
    """
    for kept in images:
        data = read_jpeg(tar, kept.jpeg_offset, kept.jpeg_bytes)
        try:
            image = decode(data)
        except UserError:
            rejected["the JPEG can't be decoded"] += 1
            yield kept, None
            continue
        fits = image.shape[:2] == (kept.height, kept.width)
        if not fits:
            rejected["the JPEG's size is not its masks'"] += 1
        yield kept, image if fits else None


def count_masks(path: Path) -> int:
    """How many masks are kept."""
    return _open(path).metadata.num_rows


def count_images(path: Path) -> int:
    """How many images have kept masks."""
    batches = _open(path).iter_batches(columns=["image_id"])
    return sum(1 for _ in groupby(value for batch in batches for value in batch.column(0).to_pylist()))


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path}: not readable as Parquet ({error}); run filtered_masks for this shard again"
        ) from error
