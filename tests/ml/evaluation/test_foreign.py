"""Predictions of any model: scored from a file, refused with a count where they answer something else."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.errors import UserError
from ml.evaluation.benchmarks.index import build
from ml.evaluation.foreign import score_file
from ml.masks import Masks
from ml.params import Params

HUGE = Masks.from_dense(np.ones((1, 4000, 4000), bool)).to_strings()[0]  # a mask of another size


@pytest.fixture
def data(folders: dict[str, Path], tmp_path: Path, params: Params) -> Path:
    build(folders, tmp_path / "data", params)
    return tmp_path / "data"


def rows(data: Path, benchmark: str = "refcoco") -> list[dict]:
    """The right box with a low score first, a wrong one with a high score after it."""
    truth = pq.read_table(data / "truth" / f"{benchmark}.parquet").to_pylist()
    return [{"query_id": t["query_id"], "boxes": [t["boxes"][0], [0, 0, 5, 5]], "scores": [0.9, 0.1]} for t in truth]


def write(path: Path, found: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def test_boxes_are_ranked_by_score_and_only_what_was_said_is_scored(data: Path, tmp_path: Path, params: Params) -> None:
    right = rows(data)
    found = score_file(data, write(tmp_path / "p.jsonl", right), "refcoco", params.milestones, 0)
    assert found["answered"] == 12 and set(found["scores"]) == {"refcoco/val", "refcoco/testA"}
    assert found["scores"]["refcoco/val"] == {"acc@0.5": 100.0, "acc@0.7": 100.0, "acc@0.9": 100.0}
    wrong = [{**row, "scores": [0.1, 0.9]} for row in right]
    pq.write_table(pa.Table.from_pylist(wrong), tmp_path / "p.parquet")
    found = score_file(data, tmp_path / "p.parquet", "refcoco", params.milestones, 0)
    assert found["scores"]["refcoco/val"]["acc@0.5"] == 0


def test_detections_are_scored_by_box_alone(data: Path, tmp_path: Path, params: Params) -> None:
    truth = pq.read_table(data / "truth" / "lvis.parquet").to_pylist()
    found = [
        {"query_id": f"{t['category_id']}@{t['image'].removeprefix('lvis/')}", "boxes": t["boxes"]}
        | {"scores": [0.5] * len(t["boxes"])}
        for t in truth
    ]
    scores = score_file(data, write(tmp_path / "p.jsonl", found), "lvis", params.milestones, 0)["scores"]["lvis/val"]
    assert scores["AP"] == scores["fixed AP"] == 100 and not any(name.startswith("mask") for name in scores)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query_id": "nowhere"}, "row 2: query_id 'nowhere' is no question"),
        ({"query_id": "0_0"}, "row 2: a second answer to '0_0'"),
        ({"boxes": [[1, 2, 3]]}, "four numbers"),
        ({"boxes": [[1, 2, -3, 4]], "scores": [1]}, "negative"),
        ({"scores": [1.0]}, "1 scores for 2 boxes"),
        ({"scores": []}, "several boxes without scores"),
        ({"boxes": [1, 2, 3, 4], "scores": [1]}, "four numbers"),
        ({"scores": [1.0, float("nan")]}, "finite numbers"),
        ({"counts": ["PP", "??"]}, "counts 0 are no mask of the image's 128x96"),
        ({"counts": [HUGE, HUGE]}, "a run length larger than the image"),
        ({"counts": [1, 2]}, "counts is not a string"),
        ({"counts": "mask"}, "expected a list of texts"),
        ({"boxes": [], "scores": [], "counts": ["PP"]}, "1 counts for 0 boxes"),
        ({"point": [1]}, "expected x, y in pixels"),
        ({"point": [1, 97]}, "outside the image's 128x96"),
    ],
)
def test_what_is_no_answer_is_counted_and_named(
    data: Path, tmp_path: Path, params: Params, change: dict, reason: str
) -> None:
    found = rows(data)
    found[1] |= change
    with pytest.raises(UserError, match=r"1 of 12 rows are no answers to refcoco") as error:
        score_file(data, write(tmp_path / "p.jsonl", found), "refcoco", params.milestones, 0)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("benchmark", "row", "reason"),
    [
        ("relevance", {"query_id": "4_0"}, "relevance is None; expected 3 numbers in 0..1"),
        ("relevance", {"query_id": "4_0", "relevance": [1, 0]}, "expected 3 numbers in 0..1"),
        ("relevance", {"query_id": "4_0", "relevance": [1, 0, 2]}, "expected 3 numbers in 0..1"),
        ("relevance", {"query_id": "4_0", "relevance": [1, 0, 0], "levels": ["part"]}, "expected 3, one a given mask"),
        ("relevance", {"query_id": "4_0", "relevance": [1, 0, 0], "levels": ["a", "b", "c"]}, "of part, object"),
        ("lvis", {"query_id": "1@no.jpg", "image": "lvis/no.jpg"}, "image 'lvis/no.jpg' is not in the index"),
        ("lvis", {"query_id": "1"}, "expected <question>@<image>"),
        ("refcoco", {"query_id": "0_0@somewhere"}, "no question of this benchmark"),
        ("flickr30k_captions", {"query_id": "7", "text": 5}, "no text"),
    ],
)
def test_what_does_not_fit_the_question_is_named(
    data: Path, tmp_path: Path, params: Params, benchmark: str, row: dict, reason: str
) -> None:
    with pytest.raises(UserError, match=f"1 of 1 rows are no answers to {benchmark}; row 1: ") as error:
        score_file(data, write(tmp_path / "p.jsonl", [row]), benchmark, params.milestones, 0)
    assert reason in str(error.value) and "\n" not in str(error.value)


LEVELS = ["object", "object", "part"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([{}, {}], None),
        ([{"image": "relevance/images/4.jpg"}, {"image": "elsewhere"}], None),
        ([{"levels": LEVELS}, {"levels": LEVELS}], 100.0),
        ([{"image": "elsewhere", "levels": LEVELS}, {"levels": []}], 100.0),  # told by one of the image's rows
    ],
)
def test_levels_count_for_the_image_of_their_question(
    data: Path, tmp_path: Path, params: Params, columns: list[dict], expected: float | None
) -> None:
    truth = pq.read_table(data / "truth" / "relevance.parquet").to_pylist()
    found = [row | columns[int(row["query_id"][-1])] for row in truth]
    scores = score_file(data, write(tmp_path / "p.jsonl", found), "relevance", params.milestones, 0)["scores"]
    assert scores["relevance/val"].get("level accuracy") == expected and scores["relevance/val"]["accuracy"] == 100


def test_an_unknown_benchmark_and_a_broken_file_are_one_line(data: Path, tmp_path: Path, params: Params) -> None:
    with pytest.raises(UserError, match="has flickr30k, flickr30k_captions, lvis, refcoco, relevance, vqa"):
        score_file(data, tmp_path / "p.jsonl", "imagenet", params.milestones, 0)
    (tmp_path / "p.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="not readable as Parquet or JSONL"):
        score_file(data, tmp_path / "p.parquet", "refcoco", params.milestones, 0)


def test_a_partial_set_does_not_go_by_the_full_name(folders: dict[str, Path], tmp_path: Path, params: Params) -> None:
    real = params.benchmarks.model_copy(update={"refcoco": str(folders["refcoco"])})
    report = build({"refcoco": folders["refcoco"]}, tmp_path / "data", params.model_copy(update={"benchmarks": real}))
    assert report.tables["partial"][0]["line"].startswith("refcoco/testA: 6 queries, published are 5,657")
    predictions = write(tmp_path / "p.jsonl", rows(tmp_path / "data"))
    found = score_file(tmp_path / "data", predictions, "refcoco", params.milestones, 0)
    assert set(found["scores"]) == {"refcoco-partial/val", "refcoco-partial/testA"}


def test_answers_in_words_are_scored_and_rows_without_any_refused(data: Path, tmp_path: Path, params: Params) -> None:
    said = [{"query_id": f"600{n}", "text": text} for n, text in enumerate(["Red.", "three", "yes"])]
    found = score_file(data, write(tmp_path / "p.jsonl", said), "vqa", params.milestones, 0)
    assert found["scores"]["vqa/val"]["exact match"] == 66.67 and found["answered"] == 3
    with pytest.raises(UserError, match=r"1 of 3 rows are no answers to vqa; row 2: no text"):
        score_file(
            data, write(tmp_path / "p.jsonl", [said[0], {"query_id": "6001"}, said[2]]), "vqa", params.milestones, 0
        )
