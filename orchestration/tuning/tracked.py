"""A study in MLflow: a run of its own, and nested in it a run a trial, whose params and scores can be compared there.

The study's own file says which trials have their run already: a store that was away gets the rest the next time.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ml.errors import UserError
from ml.params import Params
from ml.training.tracking import reach, store
from ml.training.tracking.tracking import metric_name
from ml.workspace import Workspace
from orchestration.tuning.study import ASKED, OUTCOMES, OVER, SCORED, WHY

PARENT, RUN = "mlflow_run", "mlflow_run/{}"  # attributes of a study: its run, and that of a trial
STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


def record(ws: Workspace, params: Params, study: optuna.Study, picture: bytes) -> None:
    """Bring the runs of a study up to date, its picture with them.

    Raises:
        UserError: the tracking store cannot be used.
    """
    client = store.connect(ws, params)
    from mlflow.exceptions import MlflowException

    try:
        experiment = store.experiment(client, ws, params, f"{params.tracking.experiment}-tune")
        parent = _parent(client, experiment, study)
        for trial in study.get_trials(states=OVER):
            if RUN.format(trial.number) not in study.user_attrs:
                _record(client, experiment, parent, study, trial)
        _keep(client, parent, study, picture)
    except (MlflowException, OSError) as error:
        raise UserError(reach.unusable(store.tracking_uri(ws, params), error)) from error


def _parent(client: Any, experiment: str, study: optuna.Study) -> str:
    if PARENT not in study.user_attrs:
        tags = {"mlflow.runName": study.study_name, "score": study.user_attrs[ASKED]["score"]}
        run = client.create_run(experiment, tags=tags)
        study.set_user_attr(PARENT, run.info.run_id)
    return str(study.user_attrs[PARENT])


def _record(client: Any, experiment: str, parent: str, study: optuna.Study, trial: FrozenTrial) -> None:
    tags = {"mlflow.parentRunId": parent, "mlflow.runName": f"{study.study_name} {trial.number}"}
    tags |= {"outcome": OUTCOMES[trial.state], "why": trial.user_attrs.get(WHY, "")}
    began, ended = (_milliseconds(moment) for moment in (trial.datetime_start, trial.datetime_complete))
    run = client.create_run(experiment, start_time=began, tags=tags).info.run_id
    for key, value in trial.params.items():
        client.log_param(run, key, value)
    for name, value in trial.user_attrs.get(SCORED, {}).items():
        client.log_metric(run, metric_name(name), value)
    for step, value in trial.intermediate_values.items():
        client.log_metric(run, "validation", value, step=step)
    client.set_terminated(run, STATUS[trial.state], ended)
    study.set_user_attr(RUN.format(trial.number), run)


def _keep(client: Any, parent: str, study: optuna.Study, picture: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.png"
        path.write_bytes(picture)
        client.log_artifact(parent, str(path), "pictures")
    if done := study.get_trials(states=[TrialState.COMPLETE]):
        client.log_metric(parent, metric_name(study.user_attrs[ASKED]["score"]), study.best_value, step=len(done))
    client.set_terminated(parent, "FINISHED", int(time.time() * 1000))


def _milliseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1000)
