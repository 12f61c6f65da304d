"""The tracking store: the server of the params or the embedded one, and the runs of a workspace in it.

A run is found again by the bytes it made: its tag `data_version` is the md5 that DVC records of its stage's output.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Sequence
from typing import Any

from ml.errors import UserError
from ml.params import Params
from ml.training.tracking import embedded, journal, page, reach
from ml.workspace import Workspace, lineage

DEFAULT = "0"  # the experiment that MLflow makes with every store
RELEASED_BY = "released_by"  # tag of a model version: the run that released it last
WORKSPACE = "workspace"  # tag of a run: where the workspace lies that it is of
MLFLOW_PAGE = "ARRCOC_MLFLOW_PAGE"  # names its address, where `arrcoc ui` serves it
# Read when MLflow is imported.
QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # which belongs to `--json`
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
BRIEF = {  # MLflow's own seven retries of two minutes each would hold whoever asks for a quarter of an hour
    # None: it would ask for a run, or a version, a second time where only the answer was lost. Who asks looks first.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
LOGGERS = {
    "alembic": "WARNING",
    "mlflow.store.db.utils": "CRITICAL",  # what a store says is raised as well
    "mlflow.system_metrics": "CRITICAL",
    "urllib3.connectionpool": "ERROR",  # warns of every retry; what comes of them is told
}


def run_id(ws: Workspace, params: Params, stage: str) -> str | None:
    """The id of the newest finished run that made what lies in the stage's folder; None where there is none.

    Raises:
        UserError: the tracking store cannot be used.
    """
    client = connect(ws, params)
    experiment = client.get_experiment_by_name(params.tracking.experiment)
    version = lineage.data_version(ws, ws.stage(stage))
    return newest_maker(client, experiment.experiment_id, stage, version) if experiment else None


def bury(ws: Workspace, params: Params, last_lines: Sequence[str] = ()) -> None:
    """Mark as FAILED what is recorded as running here though its process is gone: killed, out of memory, power lost.

    Raises:
        UserError: the tracking store cannot be used.
    """
    journal.bury(ws, last_lines)
    client = connect(ws, params)
    if experiment := client.get_experiment_by_name(params.tracking.experiment):
        bury_in(client, experiment.experiment_id, ws, last_lines)


def maker(ws: Workspace, stage: str) -> dict[str, str]:
    """The MLflow run that made a stage's output: {"run_id", "experiment_id"}; {} where the stage is not tracked."""
    try:
        return dict(json.loads(lineage.run_file(ws, stage).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def run_page(ws: Workspace, params: Params, stage: str) -> str | None:
    """The address of the MLflow page of the run that made a stage's output, as it is served now."""
    note, server = maker(ws, stage), _server(params)
    return page.run_address(server, note["experiment_id"], note["run_id"]) if note and server else None


def scores_page(ws: Workspace, params: Params, stage: str) -> str | None:
    """The address of the view of all scores, in the experiment of the run that made a stage's output."""
    note, server = maker(ws, stage), _server(params)
    return page.address(server, note["experiment_id"]) if note and server else None


def front_page(ws: Workspace, params: Params, server: str) -> str:
    """Where a server of the params' store shows the scores; its experiments while there is none of ours.

    A store without a server has no page: its address is handed back.
    """
    if not server.startswith("http"):
        return server
    found = reach.find(tracking_uri(ws, params), params.tracking.experiment)
    return page.address(server, found[0] if found else None)


def _server(params: Params) -> str | None:
    """The address of MLflow's page; None where none is known or served."""
    uri = params.tracking.uri or ""
    return uri if uri.startswith("http") else os.environ.get(MLFLOW_PAGE)


def tracking_uri(ws: Workspace, params: Params) -> str:
    """The tracking server of the params, or the embedded store under `mlflow/`."""
    path = str(ws.root / "mlflow" / "mlflow.db").replace("%", "%25").replace("?", "%3F")  # SQLAlchemy reads it as a URL
    return params.tracking.uri or f"{reach.FILE}{path}"


def connect(ws: Workspace, params: Params) -> Any:
    """An `MlflowClient` on the store of the params; a server that is away is told in seconds.

    Raises:
        UserError: the tracking store cannot be used.
    """
    uri = tracking_uri(ws, params)
    if params.tracking.uri is None:
        (ws.root / "mlflow").mkdir(exist_ok=True)
    reach.probe(uri)
    os.environ.update(QUIET)
    os.environ.update({name: value for name, value in BRIEF.items() if name not in os.environ})
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name, level in LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    try:
        if params.tracking.uri is None:
            embedded.follow(ws)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise UserError(reach.unusable(uri, error)) from error
    return client


def require_active(ws: Workspace, params: Params) -> None:
    """Check before the work that its run has a place to go to; a store that is away is no reason not to begin.

    Raises:
        UserError: the experiment is deleted, or the embedded store is no database.
    """
    reach.require_active(tracking_uri(ws, params), params.tracking.experiment)


def experiment(client: Any, ws: Workspace, params: Params, name: str | None = None) -> str:
    """The id of the experiment of a name, by default that of the params; it is made where there is none.

    Raises:
        UserError: it is deleted.
    """
    name = name or params.tracking.experiment
    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage == "deleted":
        raise UserError(reach.deleted(tracking_uri(ws, params), name, found.experiment_id))
    artifacts = (ws.root / embedded.ARTIFACTS).as_uri() if params.tracking.uri is None else None
    number = str(found.experiment_id if found else _made(client, name, artifacts))
    if not found or page.VIEW not in found.tags:
        page.describe(client, number)  # of one that was made elsewhere; tags that two set at once are refused
        if params.tracking.uri is None and number != DEFAULT:
            _drop_default(client)
    return number


def _made(client: Any, name: str, artifacts: str | None) -> str:
    """The id of a new experiment, or of the one that another workspace made in the same moment."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name, artifacts, page.described()))
    except MlflowException:
        if found := client.get_experiment_by_name(name):
            return str(found.experiment_id)
        raise


def _drop_default(client: Any) -> None:
    """Put the experiment away that MLflow has made and nobody uses, so that its page shows ours alone."""
    from mlflow.entities import ViewType

    unused = not client.search_runs([DEFAULT], run_view_type=ViewType.ALL, max_results=1)
    if unused and client.get_experiment(DEFAULT).lifecycle_stage == "active":
        client.delete_experiment(DEFAULT)


def newest_maker(client: Any, experiment: str, stage: str, version: str | None) -> str | None:
    """The newest finished run of a stage whose output has the md5 `version`."""
    found = _newest_finished(client, experiment, stage, f"tags.data_version = '{version}'")
    return str(found.info.run_id) if found else None


def run_before(client: Any, experiment: str, stage: str, began: int) -> Any | None:
    """The newest finished run of a stage among those that began before a time in ms."""
    return _newest_finished(client, experiment, stage, f"attributes.start_time < {began}")


def _newest_finished(client: Any, experiment: str, stage: str, which: str) -> Any | None:
    wanted = f"tags.stage = '{stage}' and attributes.status = 'FINISHED' and {which}"
    found = client.search_runs([experiment], wanted, max_results=1, order_by=["attributes.start_time DESC"])
    return found[0] if found else None


def bury_in(client: Any, experiment: str, ws: Workspace, last_lines: Sequence[str]) -> None:
    """`bury` in an experiment that is open already; what a journal is yet to say of a run is left to it.

    A run of another workspace in the experiment is that one's to bury: its journal lies there.
    """
    told = {kept.sent.get("run_id") for kept in journal.journals(ws)}
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        process, ours = run.data.tags.get("process", ""), run.data.tags.get(WORKSPACE, str(ws.root)) == str(ws.root)
        if ours and run.info.run_id not in told and process and journal.is_gone(process):
            client.set_tag(run.info.run_id, "error", journal.last_words(process, last_lines))
            client.set_terminated(run.info.run_id, "FAILED")
