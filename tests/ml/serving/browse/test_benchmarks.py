"""Answers by how wrong they are, against the scores that `benchmark_scores` sums up of the same files."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from ml.errors import UserError
from ml.evaluation.scores import score
from ml.params import Milestones
from ml.serving.browse import benchmarks, examples
from ml.serving.browse.wrongness import judged


@pytest.fixture(scope="module")
def scores(ws):
    data, predictions = ws.stage("benchmark_data"), ws.stage("benchmark_scores") / "predictions"
    goals = Milestones(grounding=1, relevance=1, refcoco=1, flickr30k=1)
    return score(data, predictions, goals, 0)["scores"]


def questions(ws, name, split="", kind=""):
    first = benchmarks.page(ws, name, split, kind, 0)
    starts = range(0, max(first["total"], 1), first["page"])
    return [row for start in starts for row in benchmarks.page(ws, name, split, kind, start)["questions"]]


@pytest.mark.parametrize(("name", "split", "metric"), [("refcoco", "val", "acc@0.5"), ("flickr30k", "test", "R@1")])
def test_regions_are_judged_as_the_scores_are(ws, scores, name, split, metric):
    own = [row["score"] for row in questions(ws, name, split)]
    assert 100 * np.mean(np.array(own) >= 0.5) == pytest.approx(scores[f"{name}/{split}"][metric], abs=0.01)


def test_words_relevance_and_absence_are_judged_as_the_scores_are(ws, scores):
    spoken = [row["score"] for row in questions(ws, "vqa")]
    assert 100 * np.mean(spoken) == pytest.approx(scores["vqa/val"]["VQA accuracy"], abs=0.01)
    masks = {
        row["query_id"]: len(row["relevance"])
        for row in pq.read_table(ws.stage("benchmark_data") / "truth" / "relevance.parquet").to_pylist()
    }
    right = [(row["score"] * masks[row["query_id"]], masks[row["query_id"]]) for row in questions(ws, "relevance")]
    accuracy = sum(hits for hits, _ in right) / sum(count for _, count in right)
    assert 100 * accuracy == pytest.approx(scores["relevance/val"]["accuracy"], abs=0.01)
    truth = pq.read_table(ws.stage("benchmark_data") / "truth" / "absence.parquet").to_pylist()
    present = {row["query_id"]: row["present"] for row in truth}
    missed = [row["score"] <= 0.5 for row in questions(ws, "absence") if present[row["query_id"]]]
    assert 100 * np.mean(missed) == pytest.approx(scores["absence/val"]["missed where present"], abs=0.01)


@pytest.mark.parametrize("name", ["refcoco", "lvis", "vqa", "flickr30k_captions", "relevance", "absence"])
def test_the_worst_come_first_and_each_once(ws, name):
    own = [row["score"] for row in questions(ws, name)]
    assert own == sorted(own) and 0 <= own[0] <= own[-1] <= 1 + 1e-9 and len(own) > 3
    ids = [row["query_id"] for row in questions(ws, name)]
    assert len(ids) == len(set(ids)) == benchmarks.page(ws, name, "", "", 0)["total"]


def test_splits_and_kinds_are_filtered(ws):
    everything, page = questions(ws, "refcoco"), benchmarks.page(ws, "refcoco", "", "", 0)
    for column, choices in (("split", page["splits"]), ("kind", page["kinds"])):
        assert choices == Counter(row[column] for row in everything)
        for value, count in choices.items():
            chosen = questions(ws, "refcoco", **{column: value})
            assert len(chosen) == count and {row[column] for row in chosen} == {value}


def test_a_question_comes_with_truth_and_answer(ws):
    asked = questions(ws, "refcoco")[-1]
    told = benchmarks.question(ws, "refcoco", asked["query_id"])
    truth = {
        row["query_id"]: row for row in pq.read_table(ws.stage("benchmark_data") / "truth/refcoco.parquet").to_pylist()
    }
    assert told["question"] == asked and told["truth"] == truth[asked["query_id"]] and told["size"] == [256, 256]
    assert told["answer"]["query_id"] == asked["query_id"]
    lvis = questions(ws, "lvis")[0]  # asked of all images: the picture is that of the truth
    assert lvis["image"].endswith(lvis["query_id"].partition("@")[2]) and lvis["text"]


def test_what_was_never_answered_counts_as_wrong_and_can_be_seen(ws):
    predictions = pq.read_table(ws.stage("benchmark_scores") / "predictions" / "refcoco.parquet")
    answered = set(predictions["query_id"].to_pylist())
    lacking = [row for row in questions(ws, "refcoco") if row["query_id"] not in answered]
    assert lacking and all(row["score"] == 0 for row in lacking)
    assert benchmarks.question(ws, "refcoco", lacking[0]["query_id"])["answer"] is None


def test_a_split_that_nobody_answered_is_left_out(ws, tmp_path):
    data, file = ws.stage("benchmark_data"), ws.stage("benchmark_scores") / "predictions" / "refcoco.parquet"
    splits = {row["query_id"]: row["split"] for row in pq.read_table(data / "queries" / "refcoco.parquet").to_pylist()}
    table = pq.read_table(file)
    pq.write_table(table.filter([splits[i] == "val" for i in table["query_id"].to_pylist()]), tmp_path / file.name)
    assert set(judged(data, tmp_path, "refcoco")["split"].to_pylist()) == {"val"}


def test_unknown_names_are_one_line(ws):
    with pytest.raises(UserError, match=r"no benchmark '\.\./truth/refcoco'; there are absence, "):
        benchmarks.page(ws, "../truth/refcoco", "", "", 0)
    with pytest.raises(UserError, match="refcoco: no question 'x'"):
        benchmarks.question(ws, "refcoco", "x")


def test_examples_are_pictures_that_the_benchmark_asks_about(ws):
    queries = pq.read_table(ws.stage("benchmark_data") / "queries" / "refcoco.parquet").to_pylist()
    shown = examples.examples(ws)
    assert 1 < len(shown) <= examples.MOST and len({row["image"] for row in shown}) == len(shown)
    assert {(row["image"], row["text"]) for row in shown} <= {(row["image"], row["text"]) for row in queries}
