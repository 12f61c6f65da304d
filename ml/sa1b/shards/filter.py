"""Which masks of the index are kept, why the others are not, and where each kept one stands in the hierarchy."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.compute.compiled import compiled
from ml.errors import UserError
from ml.masks import Masks
from ml.params import Filter
from ml.sa1b.shards.pictures import histograms
from ml.sa1b.shards.table import SCHEMA
from ml.workspace.atomic import atomic_path
from ml.workspace.report import Report

KEPT_SCHEMA = SCHEMA.append(pa.field("level", pa.string())).append(pa.field("parent_mask_id", pa.int64()))
Assign = Callable[[Masks, Filter], tuple[list[str], np.ndarray]]
EMPTY, IOU, STABILITY = "empty", "predicted_iou", "stability_score"
SMALL, LARGE, DUPLICATE, MANY = "too small", "too large", "near-duplicate", "too many in the image"
REASONS = ("", EMPTY, IOU, STABILITY, SMALL, LARGE, DUPLICATE, MANY)
NUMBERS = ("image_id", "width", "height", "mask_id", "area", "predicted_iou", "stability_score")


@dataclass
class Tally:
    """What a pass over an index has seen."""

    images: int = 0  # with masks that are kept
    present: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)

    @property
    def stats(self) -> dict[str, Any]:
        """What the file of kept masks tells in its metadata: present, kept, dropped by reason."""
        return {"present": self.present, "kept": self.kept, "dropped": dict(sorted(self.dropped.items()))}


class Chosen(NamedTuple):
    """The kept masks of an image: rows int64 [k], levels [k], parents' ids int64 [k], -1 for none."""

    rows: np.ndarray
    levels: list[str]
    parents: np.ndarray


def filter_masks(index: Path, out: Path, params: Filter, assign: Assign) -> Report:
    """Write the kept masks with level and parent (KEPT_SCHEMA), image by image in the index's order.

    The file's metadata `arrcoc.stats` holds {"present", "kept", "dropped": {reason: n}} as JSON.

    Args:
        assign: (masks of an image, params) -> their levels and the index of each one's parent, -1 for none.

    Raises:
        UserError: the index can't be read.
    """
    with atomic_path(out) as tmp:
        tally = write_kept(tmp, index, params, assign)
    return _report(index, out, tally)


def write_kept(path: Path, index: Path, params: Filter, assign: Assign) -> Tally:
    """Write the kept masks, and what was seen.

    Raises:
        UserError: the index can't be read.
    """
    tally = Tally()
    with pq.ParquetWriter(path, KEPT_SCHEMA, compression="zstd") as writer:
        for group in _row_groups(index):
            writer.write_table(Group(group, params).filter(assign, tally))
        writer.add_key_value_metadata({"arrcoc.stats": json.dumps(tally.stats, sort_keys=True)})
    return tally


class Group:
    """A row group of the index: its numbers, its strings' bytes, and the reason against each row."""

    def __init__(self, table: pa.Table, params: Filter) -> None:
        self.table, self.params = table, params
        self.numbers = {name: table[name].to_numpy() for name in NUMBERS}
        self.reasons = threshold(self.numbers, params)
        counts = pa.concat_arrays(table["counts"].chunks or [pa.array([], pa.string())])
        ends = np.frombuffer(counts.buffers()[1], np.int32, len(counts) + 1, 4 * counts.offset).astype(np.int64)
        self.text = np.frombuffer(counts.buffers()[2] or b"", np.uint8)
        self.starts, self.ends = ends[:-1], ends[1:]

    def filter(self, assign: Assign, tally: Tally) -> pa.Table:
        """The kept rows with level and parent; counted in `tally`."""
        chosen = [self.choose(start, end, assign) for start, end in _images(self.numbers["image_id"])]
        levels = [level for image in chosen for level in image.levels]
        tally.images += sum(len(image.rows) > 0 for image in chosen)
        tally.present += len(self.table)
        tally.kept += len(levels)
        tally.levels.update(levels)
        counts = np.bincount(self.reasons, minlength=len(REASONS))
        tally.dropped.update({reason: int(n) for reason, n in zip(REASONS[1:], counts[1:], strict=True) if n})
        none = np.empty(0, np.int64)
        table = self.table.take(np.concatenate([none, *(image.rows for image in chosen)]))
        table = table.append_column(KEPT_SCHEMA.field("level"), pa.array(levels, pa.string()))
        parents = np.concatenate([none, *(image.parents for image in chosen)])
        return table.append_column(KEPT_SCHEMA.field("parent_mask_id"), pa.array(parents, pa.int64()))

    def choose(self, start: int, end: int, assign: Assign) -> Chosen:
        """The masks to keep of the image at rows start:end."""
        rows, masks = self.distinct(start + np.flatnonzero(self.reasons[start:end] == 0))
        levels, parents = assign(masks, self.params)  # before the best are chosen: it needs all the context
        most = self.params.max_masks_per_image
        ranked = np.argsort(-self.numbers[IOU][rows] * self.numbers[STABILITY][rows], kind="stable")
        self.reasons[rows[ranked[most:]]] = REASONS.index(MANY)
        best = np.sort(ranked[:most])
        ids = np.append(self.numbers["mask_id"][rows], -1)
        return Chosen(rows[best], [levels[i] for i in best], ids[nearest_chosen(parents, best)])

    def distinct(self, rows: np.ndarray) -> tuple[np.ndarray, Masks]:
        """Of near-duplicates among an image's rows the best only, as rows and as masks."""
        size = [int(self.numbers[side][rows[0]]) if len(rows) else 1 for side in ("height", "width")]
        masks = Masks.from_text(self.text, self.starts[rows], self.ends[rows], size)
        best_first = np.lexsort((rows, -self.numbers[STABILITY][rows], -self.numbers[IOU][rows]))
        keep = suppress(masks.iou(masks), best_first, self.params.duplicate_iou)
        self.reasons[rows[~keep]] = REASONS.index(DUPLICATE)
        return rows[keep], masks.select(keep)


def threshold(numbers: Mapping[str, np.ndarray], params: Filter) -> np.ndarray:
    """The first of REASONS against each row by its own numbers (0: none): int64 [n]."""
    areas, pixels = numbers["area"], numbers["width"].astype(np.int64) * numbers["height"]
    tests = {
        EMPTY: areas == 0,
        IOU: numbers[IOU] < params.predicted_iou,
        STABILITY: numbers[STABILITY] < params.stability_score,
        SMALL: areas < params.min_area_fraction * pixels,
        LARGE: areas > params.max_area_fraction * pixels,
    }
    return np.select(list(tests.values()), [REASONS.index(reason) for reason in tests], default=0)


@compiled
def suppress(iou, order, limit):  # type: ignore[no-untyped-def]
    """Keep masks in `order`, best first, unless one kept before overlaps by more than `limit`: bool [n].

    `iou`: float64 [n, n].
    """
    keep = np.zeros(len(order), np.bool_)
    for i in order:
        keep[i] = True
        for other in range(len(order)):
            if other != i and keep[other] and iou[i, other] > limit:
                keep[i] = False
                break
    return keep


def nearest_chosen(parents: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The nearest ancestor of each chosen mask that is itself chosen: indices, -1 for none."""
    kept = np.isin(np.arange(len(parents)), chosen)
    above = parents[chosen]
    while (lost := (above >= 0) & ~kept[above]).any():
        above = np.where(lost, parents[above], above)
    return above


def _row_groups(index: Path) -> Iterator[pa.Table]:
    try:
        file = pq.ParquetFile(index)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{index}: not readable as Parquet ({error}); run mask_index for this shard again") from error
    with file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def _images(ids: np.ndarray) -> Iterator[tuple[int, int]]:
    """Start and end of each image's rows, which lie together."""
    bounds = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    return ((start, end) for start, end in pairwise(bounds) if end > start)


def _report(index: Path, out: Path, tally: Tally) -> Report:
    return Report(
        numbers={"images": tally.images, "masks present": tally.present, "masks kept": tally.kept},
        tables={
            "shards": [
                {
                    "shard": out.stem,
                    "present": tally.present,
                    "kept": tally.kept,
                    "kept fraction": round(tally.kept / max(tally.present, 1), 4),
                    **{level: tally.levels[level] for level in ("part", "object", "group", "scene")},
                    **{f"dropped: {reason}": count for reason, count in tally.stats["dropped"].items()},
                }
            ]
        },
        pictures={"masks": histograms({"present": _properties(index), "kept": _properties(out)})},
        rejected=tally.stats["dropped"],
    )


def _properties(path: Path) -> dict[str, np.ndarray]:
    """Scores and area (fraction of the image) of a file's masks."""
    table = pq.read_table(path, columns=["predicted_iou", "stability_score", "area", "width", "height"])
    values = {name: table[name].to_numpy() for name in table.column_names}
    return {**values, "area": values["area"] / (values["width"].astype(np.int64) * values["height"])}
