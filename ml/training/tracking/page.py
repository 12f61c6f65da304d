"""An experiment as MLflow's page shows it: what it is, and a view of its scores that is ready to be read.

The view is a tag of the experiment, in the form in which the page itself shares one: `viewStateShareKey` names it.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from ml.training.tracking import naming
from ml.training.tracking.journal import NOTE

WANTED = "tags.stage = 'benchmark_scores'"  # the runs that the view shows
KEY = "scores"
VIEW, KIND = f"mlflow.sharedViewState.{KEY}", "mlflow.experimentKind"
OURS = "workflowType=machine_learning"  # or the page shows what it has for language models
TRAINS = "custom_model_development"  # MLflow's word for an experiment that trains models
RUNS = 200  # the newest, in which it is looked for knobs that moved
KNOBS = 40  # columns at most: after another preset all knobs differ
FIXED = {"attributes.`Run Name`": 320, "runDateAndNestInfo": 140, "duration": 70}  # columns of every view, pixels
LETTER, MARGIN = 6, 30  # pixels of a column's heading
WHAT = (
    "ARR-COC, from SA-1B shards to a text-conditioned spatial-relevance model: a run a stage, named by the knobs that "
    "moved since that stage's run before. A run's tags `upstream.STAGE` name the runs that it builds on."
)


def address(server: str, experiment: str | None) -> str:
    """Where a server shows the scores of an experiment; of None, all experiments."""
    if experiment is None:
        return f"{server}/#/experiments?{OURS}"
    return f"{server}/#/experiments/{experiment}/runs?{OURS}&viewStateShareKey={KEY}"


def run_address(server: str, experiment: str, run: str) -> str:
    """Where a server shows a run."""
    return f"{server}/#/experiments/{experiment}/runs/{run}?{OURS}"


def described() -> dict[str, str]:
    """The tags of a new experiment: what it is, and its view."""
    return {KIND: TRAINS, NOTE: WHAT, VIEW: _view([], [])}


def describe(client: Any, experiment: str) -> None:
    """Give an experiment those of them that it lacks."""
    tags = client.get_experiment(experiment).tags
    for name, value in described().items():
        if name not in tags:
            client.set_experiment_tag(experiment, name, value)


def prepare(client: Any, experiment: str, headlines: Sequence[str]) -> None:
    """Prepare the view: the runs of the scores, the best by the first headline on top, and the knobs that moved.

    Args:
        headlines: metrics as the store names them, in the order of their columns.
    """
    found = client.search_runs([experiment], WANTED, max_results=RUNS)
    moved = naming.differing(run.data.params for run in found)[:KNOBS]
    client.set_experiment_tag(experiment, VIEW, _view(headlines, moved))


def _view(headlines: Sequence[str], moved: Sequence[str]) -> str:
    columns = {f"metrics.`{name}`": _width(name) for name in headlines}
    columns |= {f"params.`{name}`": _width(name) for name in moved}
    state = {
        "searchFilter": WANTED,
        "orderByKey": f"metrics.`{headlines[0]}`" if headlines else "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [*columns],
        "columnOrder": [*FIXED, *columns],
        "columnWidths": FIXED | columns,
        "runsHiddenMode": "SHOW_ALL",
    }
    return _packed(state)


def _packed(state: dict[str, Any]) -> str:
    """As the page packs it: a tag holds 5000 characters."""
    return f"deflate;{base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()}"


def _width(heading: str) -> int:
    return LETTER * len(heading) + MARGIN
