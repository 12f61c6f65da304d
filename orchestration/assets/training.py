"""Four stages of training, each from the checkpoint of the one before."""

import dagster as dg

from ml.pipeline import TRAINING
from orchestration.line import Line


def assets(line: Line) -> list[dg.AssetsDefinition]:
    """Alignment, grounding, relevance, multimodal."""
    return [line.whole(name, "training", {"deepspeed", "pytorch", "mlflow"}) for name in TRAINING]
