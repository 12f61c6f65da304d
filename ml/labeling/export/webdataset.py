"""WebDataset: a tar a shard, in it of each image `sa_1.jpg` and `sa_1.json`, one after the other.

`webdataset.WebDataset("DIR/sa_{000000..000999}.tar")` reads them: what two members have before the first dot of their
names makes them one sample.
"""

import io
import json
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ml.compute.pool import Pool
from ml.labeling.export.labelled import PLACE, SHAPES, Labelled, masks
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path

SAID = ["image_id", "caption", "queries", "relevance", "questions"]


def write(ws: Workspace, shards: Sequence[str], out: Path, pool: Pool) -> None:
    """Write the tars of all shards into the folder `out`."""
    for _ in pool.map(partial(write_shard, ws, out), shards):
        pass


def write_shard(ws: Workspace, out: Path, shard: str) -> None:
    """Write one tar: the same bytes each time."""
    labelled = Labelled.of(ws, shard)
    with atomic_path(out / f"{shard}.tar") as tmp, tarfile.open(tmp, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row in labelled.rows([*PLACE, *SHAPES, *SAID]):
            key = Path(row["file_name"]).stem.replace(".", "_")
            _add(tar, f"{key}.jpg", labelled.jpeg(row))
            _add(tar, f"{key}.json", json.dumps(sample(row)).encode())


def sample(row: dict[str, Any]) -> dict[str, Any]:
    """What the JSON of an image holds; targets, anchors and evidence are places in `masks`, as in each `relevance`."""
    scored = zip(row["queries"], row["relevance"], strict=True)
    kept = ("image_id", "file_name", "width", "height", "caption", "questions")
    return {name: row[name] for name in kept} | {
        "masks": masks(row),
        "queries": [query | {"relevance": [round(value, 4) for value in values]} for query, values in scored],
    }


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
    tar.getmembers().clear()  # which it keeps for readers
