"""Captions out of a file made elsewhere: each row is used, unused or refused, and counted as that once in a stage.

A shard judges the rows of its own images. Rows that name no image, and those of images that no shard has, are the first
shard's to count, so that the counts of all shards together are those of the file.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.errors import UserError, cut
from ml.labeling.captioners.batch import Batch
from ml.labeling.captioners.captioner import Captions
from ml.labeling.captioners.faults import SHOWN, text_fault
from ml.labeling.captioners.rows import read_rows
from ml.labeling.kept import read_kept
from ml.sa1b.reading.values import identity, shown, text
from ml.workspace.report import Report

SHOWN_ROWS = 20  # of those refused, a shard
ABSENT = "no caption in the file"
NOT_KEPT = "rows of masks that are not kept"
NO_IMAGE = "rows of images that are in no shard"
UNREADABLE = "rows of images that can't be decoded"
NO_OBJECT = "no JSON object"
Masks = Mapping[int, Set[int]]  # image id -> the ids of its kept masks
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Refused:
    """A row that is refused: its number from 1, what was found, and why."""

    row: int
    image_id: str
    mask_id: str
    found: str
    reason: str


@dataclass
class Found:
    """What a file has for a shard.

    Attributes:
        texts: (image id, mask id) -> caption.
        rows: those that the shard counts.
        unused: sound rows that no mask asks for, by why that is so.
    """

    texts: dict[tuple[int, int], str] = field(default_factory=dict)
    rows: int = 0
    unused: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)


class FileCaptioner:
    """Captions the masks of a shard with the rows of a file; images have no captions there."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.asked = self.used = 0

    def look(self, batch: Batch) -> None:
        """Nothing: the captions are there."""

    def caption(self, batch: Batch) -> Captions:
        """The file's captions; None for masks that it lacks."""
        asked = [(kept.image_id, row["mask_id"]) for kept, _ in batch for row in kept.rows]
        captions = [self.found.texts.get(key) for key in asked]
        self.asked += len(asked)
        self.used += sum(caption is not None for caption in captions)
        return Captions(captions, [""] * len(batch))

    def report(self) -> Report:
        """Coverage: what was asked for and found, and what became of the rows; rows = used + unused + refused."""
        found = self.found
        unused = found.unused + Counter({UNREADABLE: len(found.texts) - self.used})
        numbers: dict[str, float | int | str] = {
            "masks asked": self.asked,
            "masks with a caption": self.used,
            "caption rows": found.rows,
            "caption rows unused": unused.total(),
            "caption rows refused": len(found.refused),
        }
        rejected = Counter(f"caption row: {row.reason}" for row in found.refused)
        rejected += Counter({ABSENT: self.asked - self.used})
        return Report(
            numbers=numbers | {f"caption {why}": count for why, count in unused.items()},
            tables={"refused captions": [vars(row) for row in found.refused[:SHOWN_ROWS]]} if found.refused else {},
            rejected=dict(rejected),
        )


def read_captions(path: Path, kept: Path, others: Sequence[Path] | None, limit: float) -> Found:
    """What a caption file has for a shard.

    Args:
        kept: the shard's kept masks.
        others: those of all other shards, for the first shard, which counts the rows that are no shard's; else None.
        limit: the greatest fraction of rows that may be refused.

    Raises:
        UserError: the file can't be used, or more of its rows are refused.
    """
    masks = {image.image_id: {row["mask_id"] for row in image.rows} for image in read_kept(kept)}
    near = range(min(masks, default=0), max(masks, default=-1) + 1) if others is None else None
    sorting = _Sorting(masks, None if others is None else _images(others))
    for number, row in read_rows(path, near):
        sorting.take(number, row)
    _limit(path, sorting.found, limit)
    return sorting.found


class _Sorting:
    """Sorts the rows of a file for one shard."""

    def __init__(self, masks: Masks, elsewhere: Ids | None) -> None:
        """`elsewhere`: the images of all other shards, sorted; None: rows of no shard are counted by another."""
        self.masks, self.elsewhere, self.found = masks, elsewhere, Found()

    def take(self, number: int, row: Any) -> None:
        """Use a row, refuse it, or pass it over where another shard counts it."""
        image_id = _id(row, "image_id")
        if isinstance(image_id, str):
            if self.elsewhere is not None:
                self._refuse(number, row, row.get("image_id") if isinstance(row, dict) else row, image_id)
        elif image_id in self.masks:
            self._take_own(number, row, self.masks[image_id], image_id)
        elif self.elsewhere is not None and not _holds(self.elsewhere, image_id):
            self._leave(NO_IMAGE)

    def _take_own(self, number: int, row: dict[str, Any], masks: Set[int], image_id: int) -> None:
        mask_id = _id(row, "mask_id")
        if isinstance(mask_id, str):
            self._refuse(number, row, row.get("mask_id"), mask_id)
        elif mask_id not in masks:
            self._leave(NOT_KEPT)
        elif (image_id, mask_id) in self.found.texts:
            self._refuse(number, row, row.get("text"), "a second caption of its mask")
        elif reason := _text_fault(row):
            self._refuse(number, row, row.get("text"), reason)
        else:
            self.found.texts[image_id, mask_id] = row["text"].strip()
            self.found.rows += 1

    def _leave(self, why: str) -> None:
        self.found.rows += 1
        self.found.unused[why] += 1

    def _refuse(self, number: int, row: Any, value: Any, reason: str) -> None:
        self.found.rows += 1
        ids = row if isinstance(row, dict) else {}
        image_id, mask_id = shown(ids.get("image_id")), shown(ids.get("mask_id"))
        self.found.refused.append(Refused(number, image_id, mask_id, cut(shown(value), SHOWN), reason))


def _id(row: Any, name: str) -> int | str:
    """An id of a row, or what is wrong with it."""
    if not isinstance(row, dict):
        return NO_OBJECT
    if row.get(name) is None:
        return f"{name} is missing"
    try:
        return identity(row[name])
    except ValueError as error:
        return f"{name}: {error}"


def _text_fault(row: dict[str, Any]) -> str:
    if row.get("text") is None:
        return "text is missing"
    if isinstance(row["text"], str) and (fault := text_fault(row["text"])):
        return fault
    try:
        text(row["text"])
    except ValueError as error:
        return str(error)
    return ""


def _images(kept: Sequence[Path]) -> Ids:
    """The ids of the images in files of kept masks, sorted; a file that is damaged is for its own shard to tell of."""
    ids = [np.zeros(0, np.int64)]
    for path in kept:
        with suppress(OSError, pa.ArrowInvalid):
            ids.append(np.unique(pq.read_table(path, columns=["image_id"])["image_id"].to_numpy()))
    return np.unique(np.concatenate(ids))


def _holds(ids: Ids, wanted: int) -> bool:
    place = int(np.searchsorted(ids, wanted))
    return place < len(ids) and int(ids[place]) == wanted


def _limit(path: Path, found: Found, limit: float) -> None:
    if len(found.refused) <= limit * found.rows:
        return
    reasons = Counter(row.reason for row in found.refused).most_common(3)
    often, first = ", ".join(f"{count} x {reason}" for reason, count in reasons), found.refused[0]
    raise UserError(
        f"{path}: {len(found.refused)} of {found.rows} rows are refused ({often}; row {first.row}: {first.reason}, "
        f"found {first.found!r}), {limit:.1%} are allowed; mend them, or raise quality.max_reject_fraction"
    )
