import json

import numpy as np
import pytest

from ml.evaluation.benchmarks.relevance import read_relevance
from ml.masks import Masks
from ml.toytown.files.relevance import write_relevance
from ml.toytown.world.draw import draw
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.scene import scene


@pytest.fixture(scope="module")
def folder(few, tmp_path_factory):
    path = tmp_path_factory.mktemp("relevance")
    write_relevance(path, few)
    return path


@pytest.fixture(scope="module")
def rows(folder):
    return [json.loads(line) for line in (folder / "relevance_val.jsonl").read_text().splitlines()]


def test_relevance_is_the_iou_with_what_is_meant(rows, few):
    for index, row in enumerate(rows):
        drawing = draw(scene(few.seed, index, "relevance/val"))
        masks = Masks.parse([m["counts"] for m in row["masks"]], row["masks"][0]["size"])
        for query in row["queries"]:
            meant = Masks.from_dense(drawing.masks[list(Meaning(drawing).of(query["text"]))])
            assert query["relevance"] == pytest.approx(meant.iou(masks).max(0).tolist(), abs=1e-4)


def test_queries_of_every_kind_have_relevant_and_irrelevant_masks(rows):
    queries = [query for row in rows for query in row["queries"]]
    assert {q["kind"] for q in queries} >= {"attribute", "relation", "superlative", "part", "scene"}
    clear = [max(q["relevance"]) > 0.7 and min(q["relevance"]) < 0.1 for q in queries]
    assert np.mean(clear) > 0.9


def test_parents_hold_their_children(rows):
    held = []
    for row in rows:
        masks = Masks.parse([m["counts"] for m in row["masks"]], row["masks"][0]["size"])
        containment = masks.containment(masks)
        held += [containment[i, m["parent"]] for i, m in enumerate(row["masks"]) if m["parent"] >= 0]
    assert held and np.mean(np.array(held) > 0.85) > 0.9


def test_the_evaluation_reads_all_of_it(folder, few):
    (benchmark,) = read_relevance(folder)
    assert not benchmark.rejected and len(benchmark.regions) == few.toytown.relevance_images
