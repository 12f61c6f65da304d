"""VQA v2 of the town: questions to scenes that nothing trains on, in the files of the real one."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from ml.params import Params
from ml.toytown.files.annotations import INFO, write_jpeg
from ml.toytown.world.draw import Drawing, draw
from ml.toytown.world.expressions import expressions
from ml.toytown.world.language import NUMBERS
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.scene import random_for, scene
from ml.toytown.world.sentences import Question, questions

PEOPLE = 10  # answer each question; in the town they agree
EACH = 2  # questions of a type an image
SHARED = {"info": INFO, "license": {}, "data_type": "mscoco", "data_subtype": "val2014"}


def write_vqa(folder: Path, params: Params) -> None:
    """Write `params.toytown.vqa_images` images with their questions and answers under `folder`."""
    asked: list[dict[str, Any]] = []
    answered: list[dict[str, Any]] = []
    for index in range(params.toytown.vqa_images):
        drawing, image_id = draw(scene(params.seed, index, "vqa/val")), index + 1
        write_jpeg(folder / "val2014" / f"COCO_val2014_{image_id:012d}.jpg", drawing)
        for number, question in enumerate(_chosen(drawing)):
            ids = {"image_id": image_id, "question_id": 1000 * image_id + number}
            asked.append({**ids, "question": question.question})
            answered.append({**ids, **_answered(question)})
    files = {
        "v2_OpenEnded_mscoco_val2014_questions.json": {**SHARED, "task_type": "Open-Ended", "questions": asked},
        "v2_mscoco_val2014_annotations.json": {**SHARED, "annotations": answered},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def _chosen(drawing: Drawing) -> list[Question]:
    """A few questions of each type: color, number, place, presence."""
    rng = random_for(f"{drawing.scene.key}/vqa")
    found = questions(Meaning(drawing), expressions(drawing), rng)
    types: dict[str, list[Question]] = defaultdict(list)
    for i in rng.permutation(len(found)):
        types[_type(found[i])].append(found[i])
    return [question for _, members in sorted(types.items()) for question in members[:EACH]]


def _answered(question: Question) -> dict[str, Any]:
    said = {"answer": question.answer, "answer_confidence": "yes"}
    return {
        "question_type": _type(question),
        "answer_type": _answer_type(question.answer),
        "multiple_choice_answer": question.answer,
        "answers": [{**said, "answer_id": person} for person in range(1, PEOPLE + 1)],
    }


def _type(question: Question) -> str:
    """Its first two words, as VQA tells questions apart: what color, how many, what is, is there."""
    return " ".join(question.question.split()[:2])


def _answer_type(answer: str) -> str:
    return "yes/no" if answer in ("yes", "no") else "number" if answer in NUMBERS else "other"
