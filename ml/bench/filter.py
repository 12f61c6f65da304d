"""Another threshold: filtering the index again against indexing the tar again."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ml.bench.files import read_pair, write_shard
from ml.bench.measure import rates, result, seconds
from ml.labeling.hierarchy import assign
from ml.params import Quality, preset
from ml.sa1b.filter import filter_masks
from ml.sa1b.index import build_index

IMAGES = 60
REPEATS = 3


def bench(path: Path | None = None) -> dict[str, Any]:
    """Measure on a tar of SA-1B, or on copies of one JSON and its JPEG, or of a toytown scene at SA-1B's size.

    Raises:
        UserError: the file can't be read.
    """
    params = preset("sa1b").filter
    with TemporaryDirectory() as name:
        folder = Path(name)
        tar = path if path and path.suffix == ".tar" else write_shard(folder, read_pair(path), IMAGES)
        index, out = folder / "index.parquet", folder / "kept.parquet"
        build_index(tar, index, folder / "rejects.parquet", Quality(max_reject_fraction=0.0))
        kept = filter_masks(index, out, params, assign).numbers
        filtering = seconds(lambda: filter_masks(index, out, params, assign), REPEATS)
        indexing = seconds(
            lambda: build_index(tar, index, folder / "rejects.parquet", Quality(max_reject_fraction=0.0)), REPEATS
        )
    masks = int(kept["masks present"])
    case = f"{masks} masks, {int(kept['masks kept']) / max(masks, 1):.1%} kept"
    return result(
        "filter",
        [rates(f"masks filtered, {case}", masks / filtering, masks / indexing, "indexing the tar again", "masks/s")],
    )
