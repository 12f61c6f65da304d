"""The tracking store: the server of the params or the embedded one, and the runs of a workspace in it.

A run is found again by the bytes it made: its tag `data_version` is the md5 that DVC records of its stage's output.
"""

import json
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

import psutil

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, lineage

ERROR_LINES = 20
MLFLOW_PAGE = "http://127.0.0.1:5000"  # where `arrcoc ui` serves it


def run_id(ws: Workspace, params: Params, stage: str) -> str | None:
    """The id of the newest finished run that made what lies in the stage's folder; None where there is none.

    Raises:
        UserError: the tracking store cannot be used.
    """
    client = connect(ws, params)
    experiment = client.get_experiment_by_name(params.tracking.experiment)
    return newest_maker(client, experiment.experiment_id, ws, stage) if experiment else None


def bury(ws: Workspace, params: Params, last_lines: Sequence[str] = ()) -> None:
    """Mark as FAILED what is recorded as running here though its process is gone: killed, out of memory, power lost.

    Raises:
        UserError: the tracking store cannot be used.
    """
    client = connect(ws, params)
    if experiment := client.get_experiment_by_name(params.tracking.experiment):
        bury_in(client, experiment.experiment_id, last_lines)


def maker(ws: Workspace, stage: str) -> dict[str, str]:
    """The MLflow run that made a stage's output: {"run_id", "experiment_id"}; {} where the stage is not tracked."""
    try:
        return dict(json.loads(lineage.run_file(ws, stage).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def page(ws: Workspace, params: Params, stage: str) -> str | None:
    """The address of the MLflow page of the run that made a stage's output, as `arrcoc ui` serves it."""
    if not (note := maker(ws, stage)):
        return None
    server = params.tracking.uri if (params.tracking.uri or "").startswith("http") else MLFLOW_PAGE
    return f"{server}/#/experiments/{note['experiment_id']}/runs/{note['run_id']}"


def tracking_uri(ws: Workspace, params: Params) -> str:
    """The tracking server of the params, or the embedded store under `mlflow/`."""
    return params.tracking.uri or f"sqlite:///{ws.root / 'mlflow' / 'mlflow.db'}"


def connect(ws: Workspace, params: Params) -> Any:
    """An `MlflowClient` on the store of the params.

    Raises:
        UserError: the tracking store cannot be used.
    """
    quiet = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    os.environ.update(quiet, MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")  # read when MLflow is imported
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name in ("alembic", "mlflow.store.db.utils", "mlflow.system_metrics"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = tracking_uri(ws, params)
    if params.tracking.uri is None:
        (ws.root / "mlflow").mkdir(exist_ok=True)
    try:
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise UserError(_unusable(uri, error)) from error
    return client


def _unusable(uri: str, error: Exception) -> str:
    way_out = "move the file away and run again" if uri.startswith("sqlite") else "start the server or set tracking.uri"
    return f"{uri}: not usable as MLflow's store ({' '.join(str(error).split())[:200]}); {way_out}"


def experiment(client: Any, ws: Workspace, params: Params) -> str:
    """The id of the experiment of the params, which is made where there is none."""
    name = params.tracking.experiment
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    embedded = params.tracking.uri is None
    return str(client.create_experiment(name, (ws.root / "mlflow" / "artifacts").as_uri() if embedded else None))


def newest_maker(client: Any, experiment: str, ws: Workspace, stage: str) -> str | None:
    """The newest finished run whose output is what lies in the stage's folder."""
    version = lineage.data_version(ws, ws.stage(stage))
    wanted = f"tags.stage = '{stage}' and tags.data_version = '{version}' and attributes.status = 'FINISHED'"
    found = client.search_runs([experiment], wanted, max_results=1, order_by=["attributes.start_time DESC"])
    return str(found[0].info.run_id) if found else None


def bury_in(client: Any, experiment: str, last_lines: Sequence[str]) -> None:
    """`bury` in an experiment that is open already."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        host, pid, began = run.data.tags.get("process", "::").split(":")
        if host == socket.gethostname() and not _alive(int(pid), began):
            last = "\n".join([*last_lines[-ERROR_LINES:], f"process {pid} ended without a word"])
            client.set_tag(run.info.run_id, "error", last)
            client.set_terminated(run.info.run_id, "FAILED")


def process() -> str:
    """Host, id and start of this process: an id alone is given again."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def _alive(pid: int, began: str) -> bool:
    try:
        return f"{psutil.Process(pid).create_time():.2f}" == began
    except psutil.Error:
        return False
