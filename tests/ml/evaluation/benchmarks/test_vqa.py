"""VQA v2's files: questions with ten answers, and what cannot be asked is refused with a reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml.errors import UserError
from ml.evaluation.benchmarks.vqa import read_vqa

QUESTIONS, ANNOTATIONS = "v2_OpenEnded_mscoco_val2014_questions.json", "v2_mscoco_val2014_annotations.json"


def change(folder: Path, name: str, part: str, row: int, **values: Any) -> None:
    raw = json.loads((folder / name).read_text())
    raw[part][row].update(values)
    (folder / name).write_text(json.dumps(raw))


def test_questions_have_their_answers_and_type(folders: dict[str, Path]) -> None:
    (benchmark,) = read_vqa(folders["vqa"])
    first = benchmark.examples[0]
    assert (first.query_id, first.split, first.kind) == ("6000", "val", "other") and not benchmark.rejected
    assert first.image == "val2014/COCO_val2014_000000000006.jpg"
    assert first.truth == {"answer": "red", "answers": ["red"] * 8 + ["dark red"] * 2}


def test_what_cannot_be_asked_is_refused(folders: dict[str, Path]) -> None:
    folder = folders["vqa"]
    change(folder, QUESTIONS, "questions", 0, image_id=77)
    change(folder, QUESTIONS, "questions", 1, question=" ")
    change(folder, ANNOTATIONS, "annotations", 2, question_id=1)
    (benchmark,) = read_vqa(folder)
    assert [reject.reason for reject in benchmark.rejected] == [
        "image is missing",
        "empty text",
        "not in the annotations",
    ]
    assert not benchmark.examples


def test_missing_and_foreign_files_are_named(folders: dict[str, Path]) -> None:
    folder = folders["vqa"]
    (folder / ANNOTATIONS).write_text('{"images": []}')
    with pytest.raises(UserError, match=f"{ANNOTATIONS}: no JSON of VQA v2 with 'annotations'"):
        read_vqa(folder)
    (folder / QUESTIONS).rename(folder / "v2_OpenEnded_mscoco_train2014_questions.json")
    with pytest.raises(UserError, match=r"expected one \*val2014_questions.json of VQA v2, found none"):
        read_vqa(folder)


@pytest.mark.parametrize(
    ("name", "part", "values", "field", "reason"),
    [
        (ANNOTATIONS, "annotations", {"answers": "red"}, "answers", "no list"),
        (ANNOTATIONS, "annotations", {"answers": []}, "answers", "no answers"),
        (ANNOTATIONS, "annotations", {"answers": [{"answer": None}]}, "answers", "no text"),
        (ANNOTATIONS, "annotations", {"multiple_choice_answer": 3}, "multiple_choice_answer", "no text"),
        (QUESTIONS, "questions", {"question": None}, "question", "no text"),
        (QUESTIONS, "questions", {"question": "is\0it?"}, "question", "a NUL byte in the text"),
        (QUESTIONS, "questions", {"image_id": [6]}, "image_id", "no integer id"),
        (QUESTIONS, "questions", {"image_id": 10**400}, "image_id", "no integer id"),
        (QUESTIONS, "questions", {"question_id": 6000.5}, "question_id", "no integer id"),
        (QUESTIONS, "questions", {"question_id": 6001}, "question_id", "comes twice; the first stays"),
    ],
)
def test_a_broken_row_costs_one_question(
    folders: dict[str, Path], name: str, part: str, values: dict[str, Any], field: str, reason: str
) -> None:
    change(folders["vqa"], name, part, 0, **values)
    (benchmark,) = read_vqa(folders["vqa"])
    assert [(reject.field, reject.reason) for reject in benchmark.rejected] == [(field, reason)]
    assert len(benchmark.examples) == 2 and benchmark.lost == 1
