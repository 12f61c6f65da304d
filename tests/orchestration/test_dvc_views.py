"""What DVC's own commands show of a finished line, and of an experiment on top of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

HEADLINES, RELEASE = "data/benchmark_scores/headlines.json", "data/released_model/release.json"
LOSS, TRAINED = "text_region_grounding, loss", "data/text_region_grounding"
MAX_DROP = 0.7


@pytest.fixture(scope="module")
def tried(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy of the finished workspace with its lock committed, and an experiment with another `release.max_drop`."""
    checkout = type(finished)(tmp_path_factory.mktemp("tried") / "checkout")
    shutil.copytree(finished.root, checkout.root)
    checkout.run("git", "add", "-A")
    checkout.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "A run")
    checkout.run("dvc", "exp", "run", "-S", f"release.max_drop={MAX_DROP}", "-n", "stricter")
    return checkout


def read(checkout: Any, *place: str) -> Any:
    return json.loads(checkout.root.joinpath(*place).read_text())


def test_metrics_are_the_headline_scores_and_whether_it_was_released(tried: Any) -> None:
    shown = tried.json("dvc", "metrics", "show", "--json")[""]["data"]
    assert set(shown) == {HEADLINES, RELEASE}
    scores = read(tried, "data", "benchmark_scores", "scores.json")["scores"]
    headlines = shown[HEADLINES]["data"]
    assert {"refcoco/val/acc@0.5", "relevance/val/accuracy", "flickr30k/test/R@1"} < set(headlines)
    for name, value in headlines.items():
        benchmark, _, metric = name.rpartition("/")
        assert scores[benchmark][metric] == value
    assert shown[RELEASE]["data"]["released"] is True


def test_metrics_are_compared_with_a_commit(tried: Any) -> None:
    diff = tried.json("dvc", "metrics", "diff", "--json")
    assert list(diff) == [RELEASE]  # nothing else came out differently
    assert (diff[RELEASE]["max_drop"]["old"], diff[RELEASE]["max_drop"]["new"]) == (100.0, MAX_DROP)


def test_experiments_have_columns_of_params_and_of_scores(tried: Any) -> None:
    workspace, baseline = tried.json("dvc", "exp", "show", "--json")
    (experiment,) = (one["revs"][0] for one in baseline["experiments"])
    assert experiment["name"] == "stricter"
    for row, wanted in ((workspace, MAX_DROP), (baseline, 100.0), (experiment, MAX_DROP)):
        data = row["data"]
        assert data["params"]["params.yaml"]["data"]["release"]["max_drop"] == wanted
        assert data["metrics"][HEADLINES]["data"] == read(tried, HEADLINES)
        assert data["metrics"][RELEASE]["data"]["max_drop"] == wanted


def test_plots_are_the_curves_of_training_and_the_scores_by_kind(tried: Any) -> None:
    shown = tried.json("dvc", "plots", "show", "--json")["data"]
    points = [point for plot in shown[LOSS] for point in plot["content"]["data"]["values"]]
    for name in ("train.json", "validation.json"):
        curve = [(point["step"], point["loss"]) for point in points if point["filename"] == name]
        assert curve == [(row["step"], row["loss"]) for row in read(tried, TRAINED, name)]
    folder = Path("data/benchmark_scores/breakdown")
    files = {path.relative_to(tried.root).as_posix() for path in (tried.root / folder).rglob("*.json")}
    assert f"{folder}/refcoco/val/acc@0.5.json" in files and files < set(shown)
    (plot,) = shown[f"{folder}/refcoco/val/acc@0.5.json"]
    assert plot["content"]["encoding"]["x"]["field"] == "score"
    compared = tried.json("dvc", "plots", "diff", "HEAD", "--json")["data"]
    revisions = {revision for plots in compared.values() for plot in plots for revision in plot["revisions"]}
    assert revisions == {"workspace", "HEAD"}


def test_after_an_experiment_nothing_is_stale(tried: Any) -> None:
    assert tried.json("dvc", "status", "--json") == {}
    assert {stage["state"] for stage in tried.json("arrcoc", "status", "--json")["stages"]} == {"fresh"}
