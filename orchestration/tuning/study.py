"""`arrcoc tune`: trials of Optuna's, each the line from training on with other params.

A trial has a workspace below data/.ablation, as a case of the ablation has: the data stages are linked, and so is every
stage that any other trial or case has made from the same. After each training stage the trial is judged by that stage's
own validation measure, and given up where it is worse than most were there (the median rule of Golovin et al., "Google
Vizier", 2017). A study that was cut goes on; what it was at is tried again, from where it was.
"""

import json
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from ml import pipeline
from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace
from orchestration.runs.ablation import FOLDER, chosen, run_case
from orchestration.runs.golden import SCORES
from orchestration.tuning.space import Space, changed, current

LOWER = ("calibration error", "found where absent", "missed where present")  # scores that are better when lower
STARTING = 4  # trials before any is given up, or guided by others
SCORED, WHY = "scores", "why"  # attributes of a trial: all its scores; why it was given up or failed
NAME = re.compile(r"[\w-]+")
ASKED = "asked"  # attribute of a study: its score and space
OVER = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
OUTCOMES = {TrialState.COMPLETE: "done", TrialState.PRUNED: "given up", TrialState.FAIL: "failed"}


class Asked(NamedTuple):
    """What a study is asked for: its name, the score it goes for, the params it searches."""

    name: str
    score: str
    space: Space

    @property
    def lower(self) -> bool:
        """Whether the score is better when it is lower."""
        return self.score.rpartition("/")[2] in LOWER


def opened(ws: Workspace, params: Params, asked: Asked) -> optuna.Study:
    """The study, new or as it was left; its first trial has the params as they are.

    Raises:
        UserError: the name is none for a file, or a study of it went for another score, or searches other params.
    """
    if not NAME.fullmatch(asked.name):
        raise UserError(f"--name {asked.name!r}: found more than letters, digits, - and _, of which names are made")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = ws.data / FOLDER / f"{asked.name}.study"
    path.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=asked.name,
        storage=JournalStorage(JournalFileBackend(str(path))),
        direction="minimize" if asked.lower else "maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTING),
        load_if_exists=True,
    )
    _require_same(study, asked)
    for cut in study.get_trials(states=[TrialState.RUNNING]):  # its process is gone: the workspace is held by this one
        study.tell(cut.number, state=TrialState.FAIL)
        study.enqueue_trial(cut.params)
    if not study.trials:
        study.enqueue_trial(current(params, asked.space))
    return study


def go_on(
    ws: Workspace,
    params: Params,
    asked: Asked,
    study: optuna.Study,
    trials: int,
    hours: float,
    tell: Callable[[str], None],
) -> None:
    """Try until so many trials are over in all, or this call has taken so many hours; none is cut short.

    Args:
        tell: takes a line of progress.
    """
    end = time.monotonic() + 3600 * hours
    while len(study.get_trials(states=OVER)) < trials and time.monotonic() < end:
        study.sampler = optuna.samplers.TPESampler(
            seed=params.seed + len(study.trials), n_startup_trials=STARTING, multivariate=True
        )
        trial = study.ask(asked.space)
        tell(f"trial {trial.number}: {', '.join(f'{key} {short(value)}' for key, value in trial.params.items())}")
        _finish(study, trial, *_tried(ws, params, asked, study, trial, tell))
        told = study.trials[trial.number]
        tell(f"  {OUTCOMES[told.state]}: {told.user_attrs.get(WHY, f'{asked.score} {short(told.value)}')}")


def best(study: optuna.Study) -> FrozenTrial | None:
    """The best trial; None where none was done."""
    return study.best_trial if study.get_trials(states=[TrialState.COMPLETE]) else None


def short(value: Any) -> str:
    """A value as tables show it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tried(
    ws: Workspace, params: Params, asked: Asked, study: optuna.Study, trial: Trial, tell: Callable[[str], None]
) -> tuple[TrialState, str, dict[str, float]]:
    """How a trial ended, why, and its scores."""
    place = Workspace(ws.data / FOLDER / f"{asked.name}.{trial.number}")
    sign = -1 if asked.lower else 1
    try:
        run_case(
            ws, params, place, changed(params, trial.params), tell, lambda stage: _judge(trial, place, stage, sign)
        )
        scores = dict(chosen(place, (*SCORES, asked.score)))
        if asked.score not in scores:
            raise UserError(f"{asked.score}: no such score; arrcoc report shows them")
        return TrialState.COMPLETE, "", scores
    except optuna.TrialPruned as given_up:
        return TrialState.PRUNED, str(given_up), {}
    except UserError as error:
        return TrialState.FAIL, str(error), {}


def _judge(trial: Trial, place: Workspace, stage: str, sign: int) -> None:
    """Give up a trial that is worse than most others were after a training stage.

    Raises:
        TrialPruned: it is.
    """
    if stage not in pipeline.TRAINING:
        return
    found = json.loads((place.stage(stage) / "best.json").read_text(encoding="utf-8"))["best"]
    if found:  # nothing is measured in no steps
        trial.report(sign * found["value"], pipeline.TRAINING.index(stage))
        if trial.should_prune():
            raise optuna.TrialPruned(f"{found['by']} {found['value']:.3f} after {stage}")


def _finish(study: optuna.Study, trial: Trial, state: TrialState, why: str, scores: dict[str, float]) -> None:
    if why:
        trial.set_user_attr(WHY, why)
    trial.set_user_attr(SCORED, scores)
    asked = study.user_attrs[ASKED]["score"]
    study.tell(trial, scores[asked] if state is TrialState.COMPLETE else None, state=state)


def _require_same(study: optuna.Study, asked: Asked) -> None:
    wanted = {"score": asked.score, "space": sorted(f"{key} {value}" for key, value in asked.space.items())}
    known = study.user_attrs.get(ASKED, wanted)
    if known != wanted:
        raise UserError(
            f"{asked.name}: the study of this name went for {known['score']} in {', '.join(known['space'])}; "
            "give this one another --name"
        )
    study.set_user_attr(ASKED, wanted)
