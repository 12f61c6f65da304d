"""Studies: how trials follow each other, go on, and are given up; on a line that takes no time, and once for real."""

import json

import pytest
from optuna.trial import TrialState

from ml.errors import UserError
from ml.training.tracking import store
from ml.workspace.atomic import write_json
from orchestration.runs.ablation import CHAIN
from orchestration.tuning import picture, shown, study, tracked
from orchestration.tuning.space import parse

SCORE, KEY = "refcoco/val/acc@0.5", "relevance_learning.lr"


class Line:
    """A line whose score is known: the greater the rate, the better, until `worst` says that it is broken there."""

    def __init__(self) -> None:
        self.tried: list[float] = []
        self.fails_at: str | None = None
        self.cut_at: str | None = None

    def __call__(self, ws, own, place, params, tell, after) -> None:
        rate = params.relevance_learning.lr
        self.tried.append(rate)
        for stage in CHAIN:
            if stage == self.fails_at:
                raise UserError(f"{stage}: loss is not a number")
            if stage == self.cut_at:
                raise KeyboardInterrupt
            place.stage(stage).mkdir(parents=True, exist_ok=True)
            best = {"by": "relevance_accuracy", "value": rate, "step": 1}
            write_json(place.stage(stage) / "best.json", {"best": best})
            scores = {"refcoco/val": {"acc@0.5": 100 * rate}, "absence/val": {"found where absent": rate}}
            write_json(place.stage(stage) / "scores.json", {"scores": scores})
            after(stage)


@pytest.fixture
def line(monkeypatch) -> Line:
    monkeypatch.setattr(study, "run_case", line := Line())
    return line


@pytest.fixture
def ask(town):
    def asked(score: str = SCORE, spec: str = f"{KEY}=0.001..0.9:log", name: str = "study"):
        return study.Asked(name, score, parse(town.ws, town.params, [spec]))

    return asked


def run(town, asked: study.Asked, trials: int, hours: float = 1.0):
    found = study.opened(town.ws, town.params, asked)
    study.go_on(town.ws, town.params, asked, found, trials, hours, lambda _: None)
    return found


def test_the_first_trial_has_the_params_as_they_are_and_the_best_is_found(town, line, ask) -> None:
    found = run(town, ask(), 6)
    assert line.tried[0] == town.params.relevance_learning.lr
    assert len(line.tried) == len(found.trials) == 6
    done = [trial for trial in found.trials if trial.state is TrialState.COMPLETE]
    assert study.best(found).params[KEY] == max(trial.params[KEY] for trial in done)


def test_a_score_that_is_better_when_lower_is_brought_down(town, line, ask) -> None:
    found = run(town, ask("absence/val/found where absent"), 6)
    assert study.best(found).params[KEY] == min(line.tried)


def test_trials_worse_than_most_are_given_up_after_a_stage(town, line, ask) -> None:
    found = run(town, ask(), 12)
    given_up = [trial for trial in found.trials if trial.state is TrialState.PRUNED]
    assert given_up and all(trial.user_attrs[study.WHY].startswith("relevance_accuracy") for trial in given_up)
    ends = {trial.last_step for trial in given_up}
    assert ends == {0}  # the rate tells at once here


def test_it_goes_on_where_it_was(town, line, ask) -> None:
    run(town, ask(), 2)
    line.cut_at = "multimodal_finetuning"
    with pytest.raises(KeyboardInterrupt):
        run(town, ask(), 4)
    cut, line.cut_at = line.tried[-1], None
    found = run(town, ask(), 4)
    assert line.tried[3] == cut
    assert [trial.state for trial in found.trials][2] is TrialState.FAIL
    assert run(town, ask(), 4).trials == found.trials  # all are over


def test_no_time_no_trial(town, line, ask) -> None:
    assert run(town, ask(), 4, hours=0.0).get_trials(states=study.OVER) == []


def test_a_trial_that_fails_says_why_and_the_next_one_runs(town, line, ask) -> None:
    line.fails_at = "relevance_learning"
    found = run(town, ask(), 2)
    assert [trial.user_attrs[study.WHY] for trial in found.trials] == ["relevance_learning: loss is not a number"] * 2
    assert study.best(found) is None and shown.found(found)["best"] is None


def test_a_name_is_of_one_study(town, line, ask) -> None:
    run(town, ask(), 1)
    for other in (ask("vqa/val/exact match"), ask(spec=f"{KEY}=0.1..0.2")):
        with pytest.raises(UserError, match=r"^study: the study of this name went for .* give this one another --name"):
            study.opened(town.ws, town.params, other)


def test_a_name_is_one_of_a_file(town, line, ask) -> None:
    with pytest.raises(UserError, match=r"--name '\.\./study': found more than letters"):
        run(town, ask(name="../study"), 1)


def test_a_score_that_no_benchmark_has_is_named(town, line, ask) -> None:
    found = run(town, ask("refcoco/nowhere/acc@0.5"), 1)
    assert found.trials[0].user_attrs[study.WHY].startswith("refcoco/nowhere/acc@0.5: no such score")


def test_mlflow_has_a_run_and_nested_in_it_a_run_a_trial(town, line, ask) -> None:
    found = run(town, ask(), 3)
    for _ in range(2):  # what is recorded stays as it is
        tracked.record(town.ws, town.params, found, picture.drawn(found))
    client = store.connect(town.ws, town.params)
    runs = client.search_runs([client.get_experiment_by_name(f"{town.params.tracking.experiment}-tune").experiment_id])
    (parent,) = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    nested = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(nested) == 3 and parent.data.metrics["refcoco/val/acc_at_0.5"] == pytest.approx(found.best_value)
    assert {one.data.params[KEY] for one in nested} == {str(rate) for rate in line.tried}
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "pictures")] == ["pictures/study.png"]


def test_the_table_has_the_best_first(town, line, ask) -> None:
    rows = shown.table(shown.found(found := run(town, ask(), 6)))
    assert rows[0]["trial"] == str(found.best_trial.number) and rows[0][SCORE] == f"{found.best_value:.1f}"
    assert len(rows) == 6


@pytest.mark.slow
def test_a_study_trains_only_what_its_params_change(finished) -> None:
    search = ("arrcoc", "tune", "multimodal_finetuning.lr=1e-3..1e-2:log", "--trials", "2", "--json")
    done = finished.run(*search, "--docs")
    result = json.loads(done.stdout)
    assert [trial["outcome"] for trial in result["trials"]] == ["done", "done"]
    assert done.stderr.count("  multimodal_finetuning") == 1 and "  relevance_learning" not in done.stderr
    assert "| 0 |" in (finished.root / "docs" / "benchmarks.md").read_text()
    assert (finished.root / "docs" / "tuning.png").read_bytes()[:4] == b"\x89PNG"
    again = finished.run(*search)
    assert json.loads(again.stdout) == result and "trial" not in again.stderr
