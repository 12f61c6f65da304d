"""The picture of a study: how its score grew, and how it depends on each param."""

import io
from typing import Any

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from ml.sa1b.shards.pictures import COLOURS, INK
from orchestration.tuning.study import ASKED

BEST = "#d1242f"


def drawn(study: optuna.Study) -> bytes:
    """PNG bytes: the score trial by trial with the best so far, and against each param that was searched."""
    done = study.get_trials(states=[TrialState.COMPLETE])
    keys = sorted({key for trial in study.trials for key in trial.params})
    figure = Figure(figsize=(3.4 * (1 + len(keys)), 3.0), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    first, *others = figure.subplots(1, 1 + len(keys), squeeze=False)[0]
    _history(first, study, done)
    for axes, key in zip(others, keys, strict=True):
        _against(axes, study, done, key)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _history(axes: Axes, study: optuna.Study, done: list[Any]) -> None:
    numbers, values = [trial.number for trial in done], [trial.value for trial in done]
    better = np.minimum if study.direction is StudyDirection.MINIMIZE else np.maximum
    best = better.accumulate(np.array(values, float))
    axes.step(numbers, best, where="post", color=COLOURS[0])
    axes.scatter(numbers, values, s=14, color=COLOURS[1])
    for trial in study.get_trials(states=[TrialState.PRUNED]):
        axes.axvline(trial.number, color=COLOURS[0], linewidth=0.8, linestyle=":")
    _finished(axes, "trial", study.user_attrs[ASKED]["score"])


def _against(axes: Axes, study: optuna.Study, done: list[Any], key: str) -> None:
    among = [trial for trial in done if key in trial.params]
    kind = among[0].distributions[key] if among else None
    choice = isinstance(kind, CategoricalDistribution)
    values = [str(trial.params[key]) if choice else trial.params[key] for trial in among]
    axes.scatter(values, [trial.value for trial in among], s=14, color=COLOURS[1])
    if among:
        axes.scatter([values[among.index(study.best_trial)]], [study.best_value], s=40, color=BEST, zorder=3)
    if getattr(kind, "log", False):
        axes.set_xscale("log")
    _finished(axes, key, "")


def _finished(axes: Axes, below: str, title: str) -> None:
    axes.set_xlabel(below, fontsize=8, color=INK)
    axes.set_title(title, fontsize=9, color=INK)
    axes.tick_params(labelsize=7, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
