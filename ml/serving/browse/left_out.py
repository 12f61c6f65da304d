"""What each stage left out, and why: broken members and masks, masks filtered away, copies of benchmarks."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ml.errors import UserError
from ml.labeling.geometry.hierarchy import assign
from ml.sa1b.shards.filter import REASONS, Group
from ml.sa1b.shards.table import REJECTS, SCHEMA
from ml.serving.browse import training_set
from ml.serving.browse.tables import PAGE, Row, opened, rows_at, shard_file, where
from ml.workspace import Workspace
from ml.workspace.settings import load

OTHERWISE = "by other params than now"
ROWS = 50  # of a table that a page shows


def stages() -> list[str]:
    """The stages that leave something out, in their order."""
    return list(PAGES)


def page(ws: Workspace, stage: str, shard: str, reason: str, start: int) -> Row:
    """What a stage left out of a shard, for a reason ("": any): rows, how many there are, and the reasons with counts.

    Of `filtered_masks` the rows are pictures, with the number of their masks and of those that were dropped.

    Raises:
        UserError: there is no such stage or shard.
    """
    if stage not in PAGES:
        raise UserError(f"no stage {stage!r} leaves anything out; choose from {', '.join(PAGES)}")
    return PAGES[stage](ws, shard, reason, start)


def dropped(ws: Workspace, shard: str, image_id: int) -> Row:
    """The masks of a picture that `filtered_masks` dropped, each with its reason by the params as they are now.

    Raises:
        UserError: there is no such shard or picture.
    """
    index, kept = (shard_file(ws, stage, shard) for stage in ("mask_index", "filtered_masks"))
    table = pq.read_table(index, filters=[("image_id", "=", image_id)], schema=SCHEMA)
    if not len(table):
        raise UserError(f"{shard}: no image {image_id}")
    group, rows = Group(table, load(ws.params_file).filter), table.to_pylist()
    group.choose(0, len(rows), assign)
    known = {row["mask_id"] for row in where(kept, "image_id", image_id, ["mask_id"])}
    reasons = [REASONS[reason] or OTHERWISE for reason in group.reasons]
    masks = [_mask(row, reason) for row, reason in zip(rows, reasons, strict=True) if row["mask_id"] not in known]
    size = [rows[0]["height"], rows[0]["width"]]
    return {"file_name": rows[0]["file_name"], "size": size, "present": len(rows), "masks": masks}


def _mask(row: Row, reason: str) -> Row:
    told = {name: row[name] for name in ("mask_id", "area", "predicted_iou", "stability_score")}
    return told | {"segmentation": {"size": [row["height"], row["width"]], "counts": row["counts"]}, "reason": reason}


def _mask_index(ws: Workspace, shard: str, reason: str, start: int) -> Row:
    with opened(shard_file(ws, "mask_index", shard, ".rejects.parquet")) as file:
        reasons = file.read(["reason"])["reason"].to_pylist()
        chosen = [i for i, found in enumerate(reasons) if reason in ("", found)]
        rows = rows_at(file, chosen[start : start + ROWS], REJECTS.names)
    return _told(rows, start, len(chosen), Counter(reasons))


def _filtered_masks(ws: Workspace, shard: str, _: str, start: int) -> Row:
    present, kept = (_masks(ws, stage, shard) for stage in ("mask_index", "filtered_masks"))
    lost = [(image, count, count - kept.get(image, 0)) for image, count in present.items()]
    rows = [{"image_id": image, "masks": count, "dropped": gone} for image, count, gone in lost if gone]
    with opened(shard_file(ws, "filtered_masks", shard)) as file:
        stats = json.loads(file.metadata.metadata[b"arrcoc.stats"])
    return _told(rows[start : start + PAGE], start, len(rows), stats["dropped"], PAGE)


def _pseudo_labels(ws: Workspace, shard: str, _: str, start: int) -> Row:
    kept, labelled = (_masks(ws, stage, shard) for stage in ("filtered_masks", training_set.STAGE))
    why = "the image can't be read"
    return _sliced([{"image_id": image, "reason": why} for image in kept if image not in labelled], "", start)


def _training_set(ws: Workspace, shard: str, reason: str, start: int) -> Row:
    shard_file(ws, training_set.STAGE, shard)
    rows = [
        {
            "image_id": copy["image_id"],
            "benchmark_image": copy["benchmark_image"],
            "bits that differ": copy["bits"],
            "reason": f"copy of a benchmark's image{', mirrored' if copy['mirrored'] else ''}",
        }
        for copy in training_set.copies(ws, shard)
    ]
    return _sliced(rows, reason, start)


def _benchmark_data(ws: Workspace, _: str, reason: str, start: int) -> Row:
    path = ws.stage("benchmark_data") / "rejects.json"
    if not path.is_file():
        raise UserError(f"{path}: missing; run benchmark_data first")
    return _sliced(json.loads(path.read_text(encoding="utf-8")), reason, start)


def _masks(ws: Workspace, stage: str, shard: str) -> dict[int, int]:
    """The images of a shard's file, each with its rows, from one column."""
    with opened(shard_file(ws, stage, shard)) as file:
        images, counts = np.unique(file.read(["image_id"])["image_id"].to_numpy(), return_counts=True)
    return dict(zip(images.tolist(), counts.tolist(), strict=True))


def _sliced(rows: Sequence[Row], reason: str, start: int) -> Row:
    chosen = [row for row in rows if reason in ("", row["reason"])]
    return _told(chosen[start : start + ROWS], start, len(chosen), Counter(row["reason"] for row in rows))


def _told(rows: Sequence[Row], start: int, total: int, reasons: dict[str, int], most: int = ROWS) -> Row:
    return {"rows": rows, "start": start, "page": most, "total": total, "reasons": dict(sorted(reasons.items()))}


PAGES: dict[str, Callable[[Workspace, str, str, int], dict[str, Any]]] = {
    "mask_index": _mask_index,
    "filtered_masks": _filtered_masks,
    "pseudo_labels": _pseudo_labels,
    "training_set": _training_set,
    "benchmark_data": _benchmark_data,
}
