"""What MLflow's page is told of an experiment, as it stands in a real store."""

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import ViewType

from ml.params import Params
from ml.training.tracking import page, store, tracking
from ml.workspace import Workspace
from ml.workspace.settings import load

Make = Callable[..., Workspace]


def view(client: Any, experiment: str) -> dict[str, Any]:
    packed = client.get_experiment(experiment).tags[page.VIEW]
    return dict(json.loads(zlib.decompress(base64.b64decode(packed.removeprefix("deflate;")))))


def scored(ws: Workspace, params: Params, **scores: float) -> None:
    with tracking.start(ws, params, "benchmark_scores") as run:
        named = {name.replace("__", "/"): value for name, value in scores.items()}
        run.metrics(named | {"refcoco/val/gIoU": 1.0})
        run.headlines(list(named))


def test_the_view_holds_the_headlines_and_the_knobs_that_moved(
    workspace: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where MLflow puts a store's artifacts
    for threshold in (0.88, 0.9):
        ws = workspace(filter={"predicted_iou": threshold}, tracking={"uri": f"sqlite:///{tmp_path}/town.db"})
        scored(ws, load(ws.params_file), relevance__val__accuracy=90.0, flickr30k__test__AP=80.0)
    client = store.connect(ws, load(ws.params_file))
    experiment = client.get_experiment_by_name("arrcoc").experiment_id
    found = view(client, experiment)
    assert found["searchFilter"] == "tags.stage = 'benchmark_scores'"
    assert (found["orderByKey"], found["orderByAsc"]) == ("metrics.`relevance/val/accuracy`", False)
    scores = ["metrics.`relevance/val/accuracy`", "metrics.`flickr30k/test/AP`"]
    assert found["selectedColumns"] == [*scores, "params.`filtered_masks.filter.predicted_iou`"]
    named = [run.info.run_name for run in client.search_runs([experiment], order_by=["attributes.start_time"])]
    assert named == ["benchmark_scores", "benchmark_scores, filter.predicted_iou 0.88 to 0.9"]


def test_before_the_first_score_there_is_a_view_and_a_description(workspace: Make) -> None:
    ws = workspace()
    params = load(ws.params_file)
    assert store.front_page(ws, params, "http://here") == page.address("http://here", None)
    with tracking.start(ws, params, "mask_region_alignment"):
        pass
    client = store.connect(ws, params)
    (only,) = client.search_experiments()  # and no empty Default
    assert only.tags["mlflow.note.content"] == page.WHAT
    assert view(client, only.experiment_id)["selectedColumns"] == []
    client.set_experiment_tag(only.experiment_id, "mlflow.note.content", "Ours")
    scored(ws, params, relevance__val__accuracy=90.0)
    assert client.get_experiment(only.experiment_id).tags["mlflow.note.content"] == "Ours"
    assert store.front_page(ws, params, "http://here") == page.address("http://here", only.experiment_id)


def test_another_preset_does_not_burst_the_tag(workspace: Make) -> None:
    ws = workspace()
    params = load(ws.params_file)
    client = store.connect(ws, params)
    experiment = store.experiment(client, ws, params)
    tags = {"stage": "benchmark_scores"}
    for value in ("a", "b"):
        run = client.create_run(experiment, tags=tags).info.run_id
        for number in range(60):
            client.log_param(run, f"a_stage_with_a_name.a_section.a_knob_{number}", value)
    page.prepare(client, experiment, [f"a_benchmark/a_split/a metric {number}" for number in range(20)])
    assert len(view(client, experiment)["selectedColumns"]) == 20 + page.KNOBS


def test_a_default_experiment_that_is_used_stays(workspace: Make) -> None:
    ws = workspace()
    client = store.connect(ws, load(ws.params_file))
    client.create_run(store.DEFAULT)
    store.experiment(client, ws, load(ws.params_file))
    assert client.get_experiment(store.DEFAULT).lifecycle_stage == "active"
    assert len(client.search_experiments(ViewType.ALL)) == 2
