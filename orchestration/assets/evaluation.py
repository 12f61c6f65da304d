"""The benchmarks and the scores on them."""

import dagster as dg

from orchestration.line import Line


def assets(line: Line) -> list[dg.AssetsDefinition]:
    """The benchmark data, and the scores with their tables and pictures."""
    return [
        line.whole("benchmark_data", "evaluation", {"json", "parquet"}),
        line.whole("benchmark_scores", "evaluation", {"pytorch", "mlflow"}),
    ]
