"""VQA v2: open questions to an image, each with ten people's answers.

Goyal et al., "Making the V in VQA Matter", 2017. `v2_OpenEnded_mscoco_val2014_questions.json` has the questions,
`v2_mscoco_val2014_annotations.json` their answers, `val2014/COCO_val2014_000000000042.jpg` are the images.
"""

import json
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import Benchmark, Example, find_image

SPLIT, IMAGES = "val", "val2014"


def read_vqa(folder: Path) -> list[Benchmark]:
    """The questions of val2014; `kind` is the type of the answer (yes/no, number, other).

    Raises:
        UserError: a file is missing, there are several, or it is no VQA file.
    """
    asked, answered = (_rows(folder, part) for part in ("questions", "annotations"))
    benchmark = Benchmark("vqa")
    try:
        answers = {int(row["question_id"]): row for row in answered}
        for row in asked:
            _add_question(benchmark, folder, row, answers.get(int(row["question_id"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder}: a row is not one of VQA v2 ({type(error).__name__}: {error})") from error
    return [benchmark]


def _rows(folder: Path, part: str) -> list[Any]:
    """The rows of the one file of questions or annotations."""
    paths = sorted(folder.glob(f"*{IMAGES}_{part}.json"))
    if len(paths) != 1:
        found = ", ".join(path.name for path in paths) or "none"
        raise UserError(f"{folder}: expected one *{IMAGES}_{part}.json of VQA v2, found {found}")
    try:
        return list(json.loads(paths[0].read_text(encoding="utf-8"))[part])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{paths[0]}: no JSON of VQA v2 with {part!r} ({type(error).__name__}: {error})") from error


def _add_question(benchmark: Benchmark, folder: Path, row: Any, answered: Any) -> None:
    item, name = f"question {row['question_id']}", f"COCO_{IMAGES}_{int(row['image_id']):012d}.jpg"
    if answered is None:
        return benchmark.refuse(item, "question_id", row["question_id"], "not in the annotations")
    path = find_image(folder, [f"{place}{name}" for place in (f"{IMAGES}/", f"images/{IMAGES}/", "images/", "")])
    if path is None:
        return benchmark.refuse(item, "image_id", row["image_id"], "image is missing")
    if not (text := str(row["question"]).strip()):
        return benchmark.refuse(item, "question", row["question"], "empty question")
    said = [str(answer["answer"]) for answer in answered["answers"]]
    truth = {"answer": str(answered["multiple_choice_answer"]), "answers": said}
    benchmark.images[path] = None
    kind = str(answered["answer_type"])
    benchmark.examples.append(Example(str(row["question_id"]), SPLIT, path, None, text, kind, truth))
    return None
