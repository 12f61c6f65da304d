"""From the trained checkpoint to a registered model."""

import dagster as dg

from orchestration.line import Line


def assets(line: Line) -> list[dg.AssetsDefinition]:
    """The pruned and int8 model, and the release."""
    return [
        line.whole("compressed_model", "release", {"onnx"}),
        line.whole("released_model", "release", {"mlflow"}),
    ]
