"""VQA v2: open questions to an image, each with ten people's answers.

Goyal et al., "Making the V in VQA Matter", 2017. `v2_OpenEnded_mscoco_val2014_questions.json` has the questions,
`v2_mscoco_val2014_annotations.json` their answers, `val2014/COCO_val2014_000000000042.jpg` are the images.
"""

from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import Benchmark, Example, RefusedError, find_image, keyed, take
from ml.sa1b.reading.values import identity, items, read_lists, text

SPLIT, IMAGES = "val", "val2014"


def read_vqa(folder: Path) -> list[Benchmark]:
    """The questions of val2014; `kind` is the type of the answer (yes/no, number, other).

    Raises:
        UserError: a file is missing, there are several, or it is no VQA file.
    """
    asked, answered = (_rows(folder, part) for part in ("questions", "annotations"))
    benchmark = Benchmark("vqa")
    answers = keyed(benchmark, answered, "annotation", "question_id", lost=0)
    for question_id, row in keyed(benchmark, asked, "question", "question_id").items():
        try:
            _add_question(benchmark, folder, question_id, row, answers.get(question_id))
        except RefusedError as error:
            benchmark.refuse(f"question {question_id}", error.field, error.value, error.reason)
    return [benchmark]


def _rows(folder: Path, part: str) -> list[Any]:
    """The rows of the one file of questions or annotations."""
    paths = sorted(folder.glob(f"*{IMAGES}_{part}.json"))
    if len(paths) != 1:
        found = ", ".join(path.name for path in paths[:3]) or "none"
        raise UserError(f"{folder}: expected one *{IMAGES}_{part}.json of VQA v2, found {found}")
    (rows,) = read_lists(paths[0], (part,), f"no JSON of VQA v2 with {part!r}")
    return rows


def _add_question(benchmark: Benchmark, folder: Path, question_id: int, row: dict[str, Any], answered: Any) -> None:
    if answered is None:
        raise RefusedError("question_id", question_id, "not in the annotations")
    name = f"COCO_{IMAGES}_{take(row, 'image_id', identity):012d}.jpg"
    path = find_image(folder, [f"{place}{name}" for place in (f"{IMAGES}/", f"images/{IMAGES}/", "images/", "")])
    if path is None:
        raise RefusedError("image_id", row["image_id"], "image is missing")
    asked, kind = take(row, "question", text), take(answered, "answer_type", text)
    truth = {"answer": take(answered, "multiple_choice_answer", _said), "answers": take(answered, "answers", _answers)}
    benchmark.images[path] = None
    benchmark.add(Example(str(question_id), SPLIT, path, None, asked, kind, truth))


def _said(value: Any) -> str:
    """An answer as it was given: space around it is the scorer's to take away."""
    text(value)
    return str(value)


def _answers(value: Any) -> list[str]:
    if not (given := items(value)):
        raise ValueError("no answers")
    if not all(isinstance(answer, dict) and "answer" in answer for answer in given):
        raise ValueError("an answer is missing")
    return [_said(answer["answer"]) for answer in given]
