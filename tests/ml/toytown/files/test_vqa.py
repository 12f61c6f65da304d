import json
from collections import Counter

import pytest

from ml.evaluation.benchmarks.vqa import read_vqa
from ml.toytown.files.vqa import EACH, PEOPLE, write_vqa
from ml.toytown.world.draw import draw
from ml.toytown.world.expressions import expressions
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.scene import random_for, scene
from ml.toytown.world.sentences import questions


@pytest.fixture(scope="module")
def folder(few, tmp_path_factory):
    path = tmp_path_factory.mktemp("vqa")
    write_vqa(path, few)
    return path


def test_the_evaluation_reads_all_of_it(folder, few):
    (benchmark,) = read_vqa(folder)
    assert not benchmark.rejected and len(benchmark.images) == few.toytown.vqa_images
    assert {example.kind for example in benchmark.examples} == {"yes/no", "number", "other"}


def test_a_few_of_each_type_with_ten_equal_answers(folder):
    rows = json.loads((folder / "v2_mscoco_val2014_annotations.json").read_text())["annotations"]
    counts = Counter((row["image_id"], row["question_type"]) for row in rows)
    assert max(counts.values()) == EACH and {kind for _, kind in counts} >= {"what color", "how many", "is there"}
    assert all([a["answer"] for a in row["answers"]] == [row["multiple_choice_answer"]] * PEOPLE for row in rows)


def test_every_answer_is_true_of_its_scene(folder, few):
    (benchmark,) = read_vqa(folder)
    for example in benchmark.examples:
        index = int(example.query_id) // 1000 - 1
        drawing = draw(scene(few.seed, index, "vqa/val"))
        town = Meaning(drawing)
        true = {(q.question, q.answer) for q in questions(town, expressions(drawing), random_for("any"))}
        phrase = example.text.removeprefix("is there ").removeprefix("a ").removeprefix("an ").removesuffix("?")
        if example.kind == "yes/no":
            assert (example.truth["answer"] == "yes") == bool(town.of(phrase))
        else:
            assert (example.text, example.truth["answer"]) in true
