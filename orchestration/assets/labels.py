"""From kept masks to what training reads: labels and features from the frozen SAM and CLIP."""

import dagster as dg

from orchestration.line import Line


def assets(line: Line) -> list[dg.AssetsDefinition]:
    """The frozen backbones, pseudo-labels, image features, and the manifest of a group of shards."""
    return [
        line.whole("backbones", "labels", {"pytorch", "safetensors"}),
        line.sharded("pseudo_labels", "labels", {"parquet", "pytorch"}),
        line.sharded("image_features", "labels", {"safetensors", "pytorch"}),
        line.sharded("training_set", "labels", {"json"}),
    ]
