"""From SA-1B's tars to the masks worth keeping."""

import dagster as dg

from orchestration.line import Line


def assets(line: Line) -> list[dg.AssetsDefinition]:
    """Shards, their masks, the masks that are kept."""
    return [
        line.sharded("sa1b_shards", "shards", {"tar"}),
        line.sharded("mask_index", "shards", {"parquet", "numba"}),
        line.sharded("filtered_masks", "shards", {"parquet", "numba"}),
    ]
