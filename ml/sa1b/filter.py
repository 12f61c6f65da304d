"""Which masks of the index are kept, why the others are not, and where each kept one stands in the hierarchy."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.atomic import atomic_path
from ml.errors import UserError
from ml.masks import Masks
from ml.params import Filter
from ml.report import Report
from ml.sa1b.index import SCHEMA
from ml.sa1b.pictures import histograms

KEPT_SCHEMA = SCHEMA.append(pa.field("level", pa.string())).append(pa.field("parent_mask_id", pa.int64()))
Assign = Callable[[Masks, Filter], tuple[list[str], np.ndarray]]
EMPTY, IOU, STABILITY = "empty", "predicted_iou", "stability_score"
SMALL, LARGE, DUPLICATE, MANY = "too small", "too large", "near-duplicate", "too many in the image"


def filter_masks(index: Path, out: Path, params: Filter, assign: Assign) -> Report:
    """Write the kept masks with level and parent (KEPT_SCHEMA), image by image in the index's order.

    The file's metadata `arrcoc.stats` holds {"present", "kept", "dropped": {reason: n}} as JSON.

    Args:
        assign: (masks of an image, params) -> their levels and the index of each one's parent, -1 for none.

    Raises:
        UserError: the index can't be read.
    """
    dropped: Counter[str] = Counter()
    levels: Counter[str] = Counter()
    present = kept = images = 0
    with atomic_path(out) as tmp, pq.ParquetWriter(tmp, KEPT_SCHEMA, compression="zstd") as writer:
        for group in _row_groups(index):
            tables = []
            for image in _images(group):
                table, reasons = filter_image(image, params, assign)
                tables.append(table)
                dropped.update(reasons)
                present, kept, images = present + len(image), kept + len(table), images + (len(table) > 0)
                levels.update(table["level"].to_pylist())
            writer.write_table(pa.concat_tables([KEPT_SCHEMA.empty_table(), *tables]))
        stats = {"present": present, "kept": kept, "dropped": dict(sorted(dropped.items()))}
        writer.add_key_value_metadata({"arrcoc.stats": json.dumps(stats, sort_keys=True)})
    return _report(index, out, stats, levels, images)


def filter_image(image: pa.Table, params: Filter, assign: Assign) -> tuple[pa.Table, list[str]]:
    """One image's kept rows with level and parent, and the reason for each dropped row."""
    rows, masks, reasons = distinct(image, params)
    levels, parents = assign(masks, params)  # before the best are chosen: it needs all the context
    scores = image["predicted_iou"].to_numpy()[rows] * image["stability_score"].to_numpy()[rows]
    ranked = np.argsort(-scores, kind="stable")
    reasons[rows[ranked[params.max_masks_per_image :]]] = MANY
    chosen = np.sort(ranked[: params.max_masks_per_image])
    ids = np.append(image["mask_id"].to_numpy()[rows], -1)
    above = ids[nearest_chosen(parents, chosen)]
    table = image.take(rows[chosen])
    table = table.append_column(KEPT_SCHEMA.field("level"), pa.array([levels[i] for i in chosen], pa.string()))
    table = table.append_column(KEPT_SCHEMA.field("parent_mask_id"), pa.array(above, pa.int64()))
    return table, [reason for reason in reasons if reason]


def distinct(image: pa.Table, params: Filter) -> tuple[np.ndarray, Masks, np.ndarray]:
    """The masks that pass the thresholds, of near-duplicates the best only.

    Returns:
        their rows int64 [k], the masks, and a reason for each row of the image ("": passed).
    """
    size = image["height"][0].as_py(), image["width"][0].as_py()
    areas, ious = image["area"].to_numpy(), image["predicted_iou"].to_numpy()
    stability = image["stability_score"].to_numpy()
    reasons = threshold(areas, ious, stability, size[0] * size[1], params)
    rows = np.flatnonzero(reasons == "")
    masks = Masks.parse(image["counts"].take(rows).to_pylist(), size)
    best_first = np.lexsort((rows, -stability[rows], -ious[rows]))
    keep = suppress(masks.iou(masks), best_first, params.duplicate_iou)
    reasons[rows[~keep]] = DUPLICATE
    return rows[keep], masks.select(keep), reasons


def threshold(areas: np.ndarray, ious: np.ndarray, stability: np.ndarray, pixels: int, params: Filter) -> np.ndarray:
    """The first reason against each mask by its own numbers ("": none): str [n]."""
    tests = {
        EMPTY: areas == 0,
        IOU: ious < params.predicted_iou,
        STABILITY: stability < params.stability_score,
        SMALL: areas < params.min_area_fraction * pixels,
        LARGE: areas > params.max_area_fraction * pixels,
    }
    return np.select(list(tests.values()), list(tests), default="").astype(object)


def suppress(iou: np.ndarray, order: np.ndarray, limit: float) -> np.ndarray:
    """Keep masks in `order`, best first, unless one kept before overlaps by more than `limit`: bool [n]."""
    keep = np.zeros(len(order), bool)
    for i in order:
        keep[i] = not (iou[i, keep] > limit).any()
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


def _images(table: pa.Table) -> Iterator[pa.Table]:
    """The rows of each image, which lie together."""
    ids = table["image_id"].to_numpy()
    bounds = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    return (table.slice(start, end - start) for start, end in pairwise(bounds) if end > start)


def _report(index: Path, out: Path, stats: dict, levels: Counter[str], images: int) -> Report:
    return Report(
        numbers={"images": images, "masks present": stats["present"], "masks kept": stats["kept"]},
        tables={
            "shards": [
                {
                    "shard": out.stem,
                    "present": stats["present"],
                    "kept": stats["kept"],
                    "kept fraction": round(stats["kept"] / max(stats["present"], 1), 4),
                    **{level: levels[level] for level in ("part", "object", "group", "scene")},
                    **{f"dropped: {reason}": count for reason, count in stats["dropped"].items()},
                }
            ]
        },
        pictures={"masks": histograms({"present": _properties(index), "kept": _properties(out)})},
        rejected=stats["dropped"],
    )


def _properties(path: Path) -> dict[str, np.ndarray]:
    """Scores and area (fraction of the image) of a file's masks."""
    table = pq.read_table(path, columns=["predicted_iou", "stability_score", "area", "width", "height"])
    values = {name: table[name].to_numpy() for name in table.column_names}
    return {**values, "area": values["area"] / (values["width"].astype(np.int64) * values["height"])}
