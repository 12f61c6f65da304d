"""The stage as a whole: what it writes, twice the same, and what it says of a missing stage before it."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ml.errors import UserError
from ml.evaluation.benchmarks.index import build
from ml.evaluation.predictions.baselines import BLUR, CIRCLE, CROPS, MAP, RULE
from ml.evaluation.scores import evaluate, reached
from ml.params import Milestones, Params
from ml.workspace import Workspace

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ws(folders: dict[str, Path], weights: tuple[Path, Path], tmp_path: Path, params: Params) -> Workspace:
    """A workspace in which all stages before have run."""
    workspace = Workspace(tmp_path / "ws")
    workspace.data.mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, workspace.root / name)
    shutil.copytree(weights[0], workspace.stage("backbones"))
    shutil.copytree(weights[1], workspace.stage("multimodal_finetuning"))
    build(folders, workspace.stage("benchmark_data"), params)
    return workspace


def test_the_stage_writes_predictions_scores_and_pictures_twice_the_same(ws: Workspace, params: Params) -> None:
    report = evaluate(ws, params)
    out = ws.stage("benchmark_scores")
    first = {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    written = json.loads(first[Path("scores.json")])
    assert {"scores", "milestones", "intervals", "breakdown", "protocols", "baselines"} == set(written)
    regions = {"refcoco/val", "refcoco/testA", "flickr30k/test", "lvis/val", "relevance/val", "grounding/val"}
    assert regions | {"flickr30k_captions/test", "vqa/val"} == set(written["scores"])
    assert all(0 <= value <= 100 for value in written["scores"]["refcoco/val"].values())
    assert set(written["baselines"]) == {CROPS, CIRCLE, BLUR, RULE, MAP}
    assert all(regions - set(found["scores"]) <= {"grounding/val"} for found in written["baselines"].values())
    assert report.numbers["refcoco/val/acc@0.5"] == written["scores"]["refcoco/val"]["acc@0.5"]
    assert [row["name"] for row in report.tables["milestones"]] == ["grounding", "relevance", "refcoco", "flickr30k"]
    headlines = json.loads(first[Path("headlines.json")])
    assert headlines["refcoco/val/acc@0.5"] == written["scores"]["refcoco/val"]["acc@0.5"]
    rows = json.loads(first[Path("breakdown/refcoco/val/acc@0.5.json")])
    assert {row["kind"]: row["score"] for row in rows} == {
        kind: values["acc@0.5"] for kind, values in written["breakdown"]["refcoco/val"].items()
    }
    with Image.open(out / "pictures" / "wrong.png") as picture:
        assert picture.width > 288
    evaluate(ws, params)
    assert first == {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_missing_stage_is_named(ws: Workspace, params: Params) -> None:
    shutil.rmtree(ws.stage("multimodal_finetuning"))
    with pytest.raises(UserError, match=r"config\.json"):
        evaluate(ws, params)
    shutil.rmtree(ws.stage("benchmark_data"))
    with pytest.raises(UserError, match="arrcoc stage benchmark_data"):
        evaluate(ws, params)
    assert not ws.stage("benchmark_scores").exists()


def test_milestones_are_met_at_the_goal_and_silent_without_a_score() -> None:
    goals = Milestones(grounding=70.0, relevance=80.0, refcoco=85.0, flickr30k=80.0)
    rows = reached({"refcoco/val": {"acc@0.5": 85.0}, "flickr30k/test": {"R@1": 79.99}}, goals)
    assert rows == [
        {"name": "refcoco", "goal": 85.0, "value": 85.0, "met": True},
        {"name": "flickr30k", "goal": 80.0, "value": 79.99, "met": False},
    ]
