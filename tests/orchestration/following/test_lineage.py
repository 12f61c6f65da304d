"""`arrcoc trace` and `arrcoc compare` on the runs of a finished line, with the commands a user types."""

import json
import shutil

import pytest


def test_a_score_is_walked_back_to_the_shards(finished):
    found = finished.json("arrcoc", "trace", "refcoco/val/acc@0.5", "--verify", "--json")
    scores = json.loads((finished.root / "data/benchmark_scores/scores.json").read_text())["scores"]
    assert found["score"]["value"] == scores["refcoco/val"]["acc@0.5"]
    assert found["run"]["stage"] == found["stages"][-1]["name"] == "benchmark_scores"
    made = {stage["name"]: stage for stage in found["stages"]}
    for stage in found["stages"]:
        assert all(md5 == made[above]["out"] for above, md5 in stage["inputs"].items())
    assert made["multimodal_finetuning"]["run_id"] and made["benchmark_scores"]["run_id"] == found["run"]["id"]
    assert [shard["name"] for shard in found["shards"]] == ["sa_000000.tar", "sa_000001.tar"]
    assert {row["state"] for row in found["verified"]} == {"same"}


def test_the_model_and_the_beginning_of_a_run_id_are_known(finished):
    found = finished.json("arrcoc", "trace", "model", "--json")
    assert found["stages"][-1]["name"] == "released_model"
    again = finished.json("arrcoc", "trace", found["run"]["id"][:12], "--json")
    assert again["stages"] == found["stages"]


def test_in_a_pulled_clone_it_is_walked_by_the_lock_as_far_as_that_goes(finished, make_checkout):
    """No MLflow store, no records, no shards: the scores and `dvc.lock` came alone."""
    clone = make_checkout("smoke")
    shutil.copy2(finished.root / "dvc.lock", clone.root / "dvc.lock")
    shutil.copytree(finished.root / "data" / "benchmark_scores", clone.root / "data" / "benchmark_scores")
    found = clone.json("arrcoc", "trace", "refcoco/val/acc@0.5", "--json")
    whole = finished.json("arrcoc", "trace", "refcoco/val/acc@0.5", "--json")
    assert found["run"]["id"] is None
    assert [(stage["name"], stage["out"]) for stage in found["stages"]] == [
        (stage["name"], stage["out"]) for stage in whole["stages"]
    ]
    assert found["shards"] == [] and any("dvc pull may have it" in line for line in found["missing"])
    assert "no run of this store made it" in clone.run("arrcoc", "trace", "refcoco/val/acc@0.5").stdout


def test_what_names_no_run_is_one_line(finished):
    done = finished.run("arrcoc", "trace", "refcoco/val/acc@0.6", check=False)
    assert done.returncode == 2
    assert "no such run and no such score" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_two_runs_differ_in_the_knob_that_moved(finished, tmp_path):
    place = type(finished)(tmp_path / "town")
    shutil.copytree(finished.root, place.root)
    first_id = finished.json("arrcoc", "trace", "relevance/val/accuracy", "--json")["run"]["id"]
    params = place.root / "params.yaml"
    params.write_text(params.read_text().replace("  grounding_weight: 0.6", "  grounding_weight: 0.9"))
    assert place.json("arrcoc", "run", "--select", "benchmark_scores", "--json", check=False)["failed"] == []
    second = place.json("arrcoc", "trace", "relevance/val/accuracy", "--json")["run"]["id"]
    found = place.json("arrcoc", "compare", first_id, second, "--json")
    assert found["knobs"] == {"benchmark_scores.evaluation.grounding_weight": ["0.6", "0.9"]}
    assert (found["code"], found["differing"]) == ([], ["benchmark_scores"])
    row = next(row for row in found["scores"] if row["name"] == "refcoco/val/acc@0.5")
    assert row["interval"][0] <= row["difference"] <= row["interval"][1]
    first, *_, last = found["scores"]
    assert (first["name"], first["headline"], last["headline"]) == ("relevance/val/accuracy", True, False)
    short, whole = (place.run("arrcoc", "compare", first_id, second, *more).stdout for more in ([], ["--all"]))
    assert short.index("grounding_weight") < short.index("relevance/val/accuracy") and "more with --all" in short
    assert "refcoco/val/gIoU" not in short and "refcoco/val/gIoU" in whole
    path = next(place.root.glob("data/benchmark_scores/predictions/refcoco.parquet"))
    path.write_bytes(path.read_bytes() + b"more")
    done = place.run("arrcoc", "trace", second, "--verify", "--json", check=False)
    assert done.returncode == 1
    differs = [row["path"] for row in json.loads(done.stdout)["verified"] if row["state"] == "differs"]
    assert differs == ["data/benchmark_scores"]
