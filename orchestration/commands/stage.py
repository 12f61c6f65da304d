"""`arrcoc stage NAME`: one stage without Dagster."""

from typing import Annotated

import typer

from orchestration.terminal.options import AsJson, say, workspace


def stage(
    name: Annotated[str, typer.Argument(help="A stage of dvc.yaml, for example mask_index.")],
    shard: Annotated[str | None, typer.Option(help="One shard or group, for example sa_000003.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run one stage without Dagster, as `dvc repro` does; shards whose output is current are skipped."""
    from ml import pipeline
    from ml.workspace import stages
    from orchestration.freshness.lock import exclusive
    from orchestration.freshness.staleness import recorded

    ws, params = workspace()
    stages.stage(ws, name)
    with exclusive(ws), recorded(name, ws, params):
        report = pipeline.run(name, ws, params, shard)
    numbers = "\n".join(f"{key}: {value}" for key, value in report.numbers.items())
    result = {"stage": name, "skipped": report.skipped, "numbers": report.numbers, "rejected": report.rejected}
    say(as_json, result, f"{name}: nothing to do" if report.skipped else numbers)
