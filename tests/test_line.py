"""The whole line, from a copy of the checkout, with the commands a user types."""

import json

import pytest

from ml.pipeline import SHARDED, WHOLE

STAGES = {*SHARDED, *WHOLE}


def test_one_command_runs_every_stage(finished):
    first = json.loads((finished.root / "first_run.json").read_text())
    assert set(first["materialized"]) == STAGES
    assert first["failed"] == []
    assert set(first["seconds"]) == STAGES


def test_a_second_run_finds_nothing_stale(finished):
    models = {path: path.read_bytes() for path in finished.root.glob("data/*/model.safetensors")}
    assert len(models) == 4
    second = finished.json("arrcoc", "run", "--json", check=False)
    assert second["materialized"] == []
    assert set(second["fresh"]) == STAGES
    assert all(path.read_bytes() == before for path, before in models.items())


def test_status_says_fresh_and_dvc_agrees(finished):
    stages = finished.json("arrcoc", "status", "--json")["stages"]
    assert {stage["name"]: stage["state"] for stage in stages} == dict.fromkeys(STAGES, "fresh")
    assert json.loads(finished.run("dvc", "status", "--json").stdout) == {}


def test_the_report_names_scores_and_the_runs_they_come_from(finished):
    report = finished.json("arrcoc", "report", "--json", check=False)
    assert {"refcoco/val", "refcoco/heldout", "refcoco+/testA", "refcocog/test"} <= set(report["scores"])
    assert {"flickr30k/test", "lvis/val", "relevance/val"} <= set(report["scores"])
    assert 0 <= report["scores"]["refcoco/val"]["acc@0.5"] <= 100
    assert {"name", "goal", "value", "met"} == set(report["milestones"][0])
    assert {"multimodal_finetuning", "benchmark_scores"} <= set(report["run_ids"])


def test_predict_answers_and_draws(finished):
    image = next(finished.root.glob("data/benchmark_data/raw/refcoco/images/train2014/*.jpg"))
    answer = finished.json("arrcoc", "predict", str(image), "the red car", "--json")
    assert answer["query"] == "the red car"
    assert len(answer["box"]) == 4
    assert 0 <= answer["score"] <= 1
    assert {"box", "area", "level", "relevance"} <= set(answer["masks"][0])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["predict", "nowhere.jpg", "the red car"], "nowhere.jpg"),
        (["predict", "params.yaml", "the red car"], "params.yaml"),
        (["stage", "mask_idnex"], "mask_idnex"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(finished, command, words):
    done = finished.run("arrcoc", *command, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
