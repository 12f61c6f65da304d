"""Another threshold: filtering the index again against indexing the tar again."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ml.bench.files import read_pair, write_shard
from ml.bench.measure import rates, result, seconds
from ml.labeling.geometry.hierarchy import assign
from ml.sa1b.shards.filter import write_kept
from ml.sa1b.shards.index import Tally, write_masks
from ml.workspace.settings import preset

IMAGES = 200
REPEATS = 3


def bench(path: Path | None = None) -> dict[str, Any]:
    """Measure on a tar of SA-1B, or on copies of one JSON and its JPEG, or of a toytown scene at SA-1B's size.

    Both without their report, whose picture costs a fixed 0.2 s a shard.

    Raises:
        UserError: the file can't be read.
    """
    params = preset("sa1b").filter
    with TemporaryDirectory() as name:
        folder = Path(name)
        tar = path if path and path.suffix == ".tar" else write_shard(folder, read_pair(path), IMAGES)
        index, out = folder / "index.parquet", folder / "kept.parquet"
        indexing = seconds(lambda: write_masks(index, tar, Tally()), REPEATS)
        filtering = seconds(lambda: write_kept(out, index, params, assign), REPEATS)
        stats = write_kept(out, index, params, assign).stats
    masks = stats["present"]
    case = f"{masks} masks, {stats['kept'] / max(masks, 1):.1%} kept"
    return result(
        "filter",
        [rates(f"masks filtered, {case}", masks / filtering, masks / indexing, "indexing the tar again", "masks/s")],
    )
