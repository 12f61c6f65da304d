"""Compiles the inner loops before the first run needs them: `python -m ml.bench.compile`, the last step of `make env`.

Numba keeps what it compiles beside the sources. Whoever skips this waits 12 s for the first masks instead.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from ml import pipeline
from ml.masks import Frame, Masks
from ml.workspace import Workspace
from ml.workspace.settings import preset

SHARD = "sa_000000"


def main() -> None:
    """Index and filter a shard of a few images, and measure the masks that are kept."""
    params = preset("smoke")
    with TemporaryDirectory() as folder:
        ws = Workspace(Path(folder))
        for stage in (pipeline.sa1b_shards, pipeline.mask_index, pipeline.filtered_masks):
            stage(ws, params, SHARD)
        rows = pq.read_table(ws.shard_file("filtered_masks", SHARD, ".parquet")).to_pylist()
    masks = Masks.parse([row["counts"] for row in rows], (rows[0]["height"], rows[0]["width"]))
    masks.coverage((16, 16), Frame(None, False, 256))
    Masks.from_dense(masks.dense(0)[None]).to_strings()
    masks.union()


if __name__ == "__main__":
    main()
