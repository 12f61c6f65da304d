"""`arrcoc export`: all labelled shards of a workspace, in one of the formats."""

from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from ml.compute.pool import open_pool
from ml.errors import UserError
from ml.labeling.export import coco, webdataset
from ml.labeling.export.labelled import Labelled
from ml.params import Params
from ml.sa1b import sharding
from ml.workspace import Workspace
from ml.workspace.atomic import told

FORMATS = {"coco": coco.write, "webdataset": webdataset.write}


def export(ws: Workspace, params: Params, form: Literal["coco", "webdataset"], out: Path) -> dict[str, Any]:
    """Write the labelled set into the folder `out`, shards in `shards.workers` processes; what was written.

    Raises:
        UserError: there is something in `out`, or a shard is not labelled yet.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: is there and not empty; name a new folder, or remove it")
    shards = sharding.partitions("pseudo_labels", ws, params)
    for shard in shards:  # before anything is written
        Labelled.of(ws, shard)
    with told(out), closing(open_pool(params.shards)) as pool:
        out.mkdir(parents=True, exist_ok=True)
        FORMATS[form](ws, shards, out.resolve(), pool)
    return {"format": form, "folder": str(out), "shards": len(shards)}
