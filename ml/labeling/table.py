"""The table of pseudo-labels: its schema, and writing it, a group of images at a time."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.labeling.kept import KeptImage
from ml.labeling.pictures import sample_sheet
from ml.sa1b.reading.phash import BYTES
from ml.workspace.atomic import atomic_path
from ml.workspace.report import Report

ROW_GROUP = 64  # images
SHOWN = 3  # images on the sample sheet
_QUERY = pa.struct(
    [
        ("text", pa.string()),
        ("kind", pa.string()),
        ("target", pa.int32()),
        ("anchor", pa.int32()),
        ("named", pa.list_(pa.int32())),
        ("name", pa.string()),
        ("against", pa.string()),
    ]
)
_QUESTION = pa.struct([("question", pa.string()), ("answer", pa.string()), ("evidence", pa.int32())])
SCHEMA = pa.schema(
    {
        "image_id": pa.int64(),
        "file_name": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "jpeg_offset": pa.int64(),
        "jpeg_bytes": pa.int64(),
        "phash": pa.binary(BYTES),
        "caption": pa.string(),
        "mask_ids": pa.list_(pa.int64()),
        "counts": pa.list_(pa.string()),
        "boxes": pa.list_(pa.list_(pa.float32())),
        "levels": pa.list_(pa.string()),
        "parents": pa.list_(pa.int64()),
        "predicted_ious": pa.list_(pa.float32()),
        "stability_scores": pa.list_(pa.float32()),
        "phrases": pa.list_(pa.string()),
        "queries": pa.list_(_QUERY),
        "relevance": pa.list_(pa.list_(pa.float32())),
        "questions": pa.list_(_QUESTION),
    }
)


def image_columns(kept: KeptImage) -> dict[str, Any]:
    """The columns that are only passed on."""
    same = ("image_id", "file_name", "width", "height", "jpeg_offset", "jpeg_bytes")
    lists = {
        "mask_ids": "mask_id",
        "counts": "counts",
        "boxes": "bbox",
        "levels": "level",
        "predicted_ious": "predicted_iou",
        "stability_scores": "stability_score",
    }
    columns = {name: [row[source] for row in kept.rows] for name, source in lists.items()}
    columns["parents"] = kept.parents().tolist()
    return {name: getattr(kept, name) for name in same} | columns


def write(rows: Iterable[dict[str, Any]], out: Path, tar: Path) -> Report:
    """Write the rows and tell of them, with a sample sheet."""
    numbers = Counter(dict.fromkeys(("images", "masks", "described", "queries", "questions"), 0))
    kinds: Counter[str] = Counter()
    shown: list[dict[str, Any]] = []
    with atomic_path(out) as tmp, pq.ParquetWriter(tmp, SCHEMA, compression="zstd") as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, SCHEMA))
            for row in group:
                numbers.update(_count(row))
                kinds.update(query["kind"] for query in row["queries"])
            shown = [*shown, *group][:SHOWN]
    table = [{"kind": kind, "queries": count} for kind, count in sorted(kinds.items())]
    pictures = {"labels": sample_sheet(shown, tar)} if shown else {}
    return Report(numbers=dict(numbers), tables={"queries": table}, pictures=pictures)


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(rows)
    while group := list(islice(iterator, ROW_GROUP)):
        yield group


def _count(row: dict[str, Any]) -> dict[str, int]:
    return {
        "images": 1,
        "masks": len(row["phrases"]),
        "described": sum(phrase != "" for phrase in row["phrases"]),
        "queries": len(row["queries"]),
        "questions": len(row["questions"]),
    }
