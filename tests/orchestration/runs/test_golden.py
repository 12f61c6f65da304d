"""Golden scores: the interval holds its promise, and a run is told apart from them; with training, -m slow."""

import json

import numpy as np
import pytest

from ml.errors import UserError
from ml.workspace.atomic import write_json
from orchestration.runs import golden

SEEDS, SPREAD = 4, 5.0


@pytest.fixture
def scored(town):
    """A workspace with golden scores of three seeds, and scores of its own that `told` sets."""
    kept = {"refcoco/val/acc@0.5": [94.0, 95.0, 96.0], "lvis/val/AP": [66.0, 66.0, 66.0]}
    found = {"seeds": [0, 1, 2], "scores": kept, "params": golden.bearing(town.ws, town.params)}
    (town.ws.root / "docs").mkdir(exist_ok=True)
    golden.write(town.ws, found)

    def told(**scores):
        town.ws.stage("benchmark_scores").mkdir(parents=True, exist_ok=True)
        named = {"refcoco/val": {"acc@0.5": scores["refcoco"]}}
        if "lvis" in scores:
            named["lvis/val"] = {"AP": scores["lvis"]}
        write_json(town.ws.stage("benchmark_scores") / "scores.json", {"scores": named, "milestones": []})
        return golden.compare(town.ws, town.params)

    return told


def test_another_seed_lies_within_nineteen_times_in_twenty() -> None:
    draws = np.random.default_rng(0).normal(80, SPREAD, (4000, SEEDS + 1))
    edges = [golden.interval(row[:SEEDS].tolist()) for row in draws]
    within = [low <= row[SEEDS] <= high for (low, high), row in zip(edges, draws, strict=True)]
    assert abs(np.mean(within) - golden.CONFIDENCE) < 0.012


def test_seeds_that_agree_by_chance_leave_room() -> None:
    assert golden.interval([66.0, 66.0, 66.0]) == (66 - golden.NARROWEST, 66 + golden.NARROWEST)


def test_verdicts(scored) -> None:
    assert scored(refcoco=95.5, lvis=66.4)["outside"] == []
    found = scored(refcoco=70.0, lvis=67.0)
    verdicts = {row["score"]: row["verdict"] for row in found["rows"]}
    assert verdicts == {"refcoco/val/acc@0.5": "below", "lvis/val/AP": "above"}
    assert sorted(found["outside"]) == sorted(verdicts)


def test_a_score_that_is_gone_is_told(scored) -> None:
    assert scored(refcoco=95.0)["lacking"] == ["lvis/val/AP"]


def test_only_params_that_bear_on_scores_are_told(town, scored) -> None:
    town.edit(seed=5, training__processes=1, mask_region_alignment__steps=3, model__dim=64)
    assert scored(refcoco=95.0, lvis=66.0)["changed"] == ["mask_region_alignment.steps", "model.dim"]


def test_without_golden_scores_it_says_how_to_make_them(town) -> None:
    (town.ws.root / "docs" / "golden.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"golden\.json: no golden scores; arrcoc golden --seeds 3"):
        golden.compare(town.ws, town.params)


@pytest.mark.parametrize("text", ["{", "[]", '{"seeds": [0, 1]}', '{"seeds": [0, 1], "scores": {"a": [1.0]}}'])
def test_a_broken_file_is_named(town, text) -> None:
    (town.ws.root / "docs").mkdir(exist_ok=True)
    (town.ws.root / "docs" / "golden.json").write_text(text)
    with pytest.raises(UserError, match=r"golden\.json: found no two or more values"):
        golden.read(town.ws)


@pytest.mark.slow
def test_seeds_are_trained_and_kept(finished) -> None:
    made = finished.run("arrcoc", "golden", "--seeds", "2", "--json", check=False)
    found, kept = json.loads(made.stdout), json.loads((finished.root / "docs" / "golden.json").read_text())
    assert kept["seeds"] == [0, 1] and all(len(values) == 2 for values in kept["scores"].values())
    now = {row["score"]: row["now"] for row in found["rows"]}
    assert now == {name: values[0] for name, values in kept["scores"].items()}  # its own seed is the first
    assert found["changed"] == found["lacking"] == []
