"""`arrcoc score`: the predictions of any model, scored."""

import json
from pathlib import Path
from typing import Annotated

import typer

from orchestration.terminal.options import AsJson, workspace


def score(
    predictions: Annotated[
        Path, typer.Argument(help="Parquet or JSONL: query_id, boxes (xywh), scores, counts, or text.")
    ],
    benchmark: Annotated[
        str, typer.Argument(help="A file of data/benchmark_data/queries: refcoco, flickr30k, lvis, vqa, ...")
    ],
    as_json: AsJson = False,
) -> None:
    """Score the predictions of any model on a benchmark that the stage benchmark_data has indexed.

    A row answers a question of data/benchmark_data/queries; one that is not answered counts as wrong.
    """
    from ml.evaluation.foreign import score_file
    from orchestration.terminal import console

    ws, params = workspace()
    found = score_file(ws.stage("benchmark_data"), predictions, benchmark, params.milestones, params.seed)
    print(json.dumps(found)) if as_json else console.stdout().print(console.score_table(found["scores"]))
