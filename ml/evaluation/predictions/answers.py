"""Predictions for all benchmarks, written once: a new metric needs no new inference.

Reads what `benchmark_data` wrote except `truth/`; writes what `ml.evaluation.predictions.files` describes, as it
comes: memory does not grow with the images. All proposed masks are kept beside the answers: their best IoU with the
truth is the ceiling of all scores. So is what every baseline answers, in a folder of its name below `baselines`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ml.compute.pool import Pool, in_order
from ml.evaluation.benchmarks.index import image_path
from ml.evaluation.predictions.baselines import Baselines
from ml.evaluation.predictions.files import Row, Tables, as_tables, prediction_files
from ml.evaluation.predictions.loaded import Sources, models, stamp
from ml.evaluation.predictions.plan import CAPTIONS, DETECTION, GIVEN, SPOKEN, Question, Work, plan
from ml.evaluation.predictions.predictor import Predictor, Scene, map_region, peak
from ml.evaluation.predictions.proposals import Proposals
from ml.evaluation.predictions.scored import Answers
from ml.evaluation.predictions.speech import Speaker
from ml.labeling.geometry.hierarchy import assign
from ml.masks import Masks
from ml.params import Filter
from ml.sa1b.reading.reader import decode

TOP = 10  # masks kept a question: R@10 is the deepest metric
DETECTIONS = 300  # masks kept an image over all categories: LVIS's protocol
CHUNK = 8  # images a task of the pool
BASELINES = "baselines"
MASKS_ALONE = (GIVEN, DETECTION)  # scored by their masks; their grounding maps are not kept


def predict(data: Path, sources: Sources, out: Path, pool: Pool) -> int:
    """Predict every benchmark in `data` with the models of `sources`; write to `out`. Returns how many images.

    Raises:
        UserError: weights are missing or broken.
    """
    works = plan(data)
    starts = [str(start) for start in range(0, len(works), CHUNK)]
    answer = partial(_answer_chunk, data, stamp(data), sources)
    with prediction_files(out) as append:
        for tables in in_order(pool.map(answer, starts), starts):
            append(tables)
    return len(works)


def answer_work(
    predictor: Predictor, scene: Scene, work: Work, hierarchy: Filter, baselines: Baselines | None = None
) -> dict[str, list[Row]]:
    """Rows for one image of each benchmark, and of each of a baseline's, by the names of their files.

    A detection question that none of its best masks answers has none.
    """
    asked = [question for question in work.questions if question.benchmark not in SPOKEN]
    given = [question for question in asked if question.benchmark == GIVEN]
    groups = [
        (_best, scene, [question for question in asked if question.benchmark not in MASKS_ALONE]),
        (_detections, scene, [question for question in asked if question.benchmark == DETECTION]),
    ]
    if given:
        groups.append((_given, predictor.given(scene, Masks.parse(work.counts or (), scene.size)), given))
    rows: dict[str, list[Row]] = defaultdict(list)
    for tell, seen, questions in groups:
        describe = _describer(seen.proposals.masks, hierarchy)
        for folder, answers in _answers(predictor, seen, questions, tell is _best, baselines):
            for question, row in zip(questions, tell(answers, partial(describe, answers), seen), strict=True):
                if row is not None:
                    named = {"query_id": question.query_id, "image": work.image}
                    rows[folder + question.benchmark].append(named | row)
    return dict(rows)


def _answers(
    predictor: Predictor, scene: Scene, questions: Sequence[Question], maps: bool, baselines: Baselines | None
) -> Iterator[tuple[str, Answers]]:
    """Ours, then each baseline's, with the folder that they go to."""
    if not questions:
        return
    texts = [question.text for question in questions]
    ours = predictor.answer(scene, texts, maps)
    yield "", ours
    if baselines is not None and len(scene.proposals.masks):
        for name, answers in baselines.answer(scene, texts, ours).items():
            yield f"{BASELINES}/{name}/", answers


Describe = Callable[[int, Sequence[int]], Row]


def _best(answers: Answers, describe: Describe, scene: Scene) -> Iterator[Row]:
    """The best few of the masks for each text, and what its grounding map says."""
    for query in range(len(answers.scores)):
        heat = _describe_map(answers.maps[query], scene) if len(answers.maps) else {}
        yield describe(query, answers.best(query, TOP).tolist()) | heat


def _detections(answers: Answers, describe: Describe, scene: Scene) -> Iterator[Row | None]:
    """The image's best masks over all texts, each with its text.

    They are ranked by relevance x SAM's predicted IoU: average precision ranks the detections of all images together,
    and a sloppy mask is worth less.
    """
    scores = answers.relevance * scene.proposals.predicted_ious
    order = np.argsort(-scores, axis=None, kind="stable")[:DETECTIONS]
    kept: dict[int, list[int]] = defaultdict(list)
    for query, mask in zip(*np.unravel_index(order, scores.shape), strict=True):
        kept[int(query)].append(int(mask))
    for query in range(len(scores)):
        index = kept.get(query)
        yield None if index is None else describe(query, index) | {"scores": scores[query, index].tolist()}


def _given(answers: Answers, describe: Describe, scene: Scene) -> Iterator[Row]:
    """All of the given masks for each text, in their order."""
    for query, scores in enumerate(answers.scores):
        yield describe(query, range(len(scores)))


def speak(speaker: Speaker, scene: Scene, work: Work) -> dict[str, list[Row]]:
    """Rows of the benchmarks whose answers are words, for one image."""
    rows: dict[str, list[Row]] = {}
    for benchmark in SPOKEN:
        if asked := [question for question in work.own if question.benchmark == benchmark]:
            captions = benchmark == CAPTIONS
            said = [speaker.caption(scene)] if captions else speaker.answers(scene, [q.text for q in asked])
            told = zip(asked, said, strict=True)
            rows[benchmark] = [{"query_id": q.query_id, "image": work.image, "text": text} for q, text in told]
    return rows


def _proposal_row(image: str, proposals: Proposals) -> Row:
    return {
        "image": image,
        "boxes": proposals.masks.coco_boxes().tolist(),
        "counts": proposals.masks.to_strings(),
        "predicted_ious": proposals.predicted_ious.tolist(),
        "stability_scores": proposals.stability_scores.tolist(),
    }


@lru_cache(maxsize=1)
def _plan(data: Path, written: int) -> list[Work]:
    """`plan`, once a process; `written` tells it of data that were written anew."""
    return plan(data)


def _answer_chunk(data: Path, written: int, sources: Sources, start: str) -> Tables:
    asked = models(sources)
    rows: dict[str, list[Row]] = defaultdict(list)
    for work in _plan(data, written)[int(start) : int(start) + CHUNK]:
        scene = asked.predictor.look(decode(image_path(data, work.image).read_bytes()))
        found = answer_work(asked.predictor, scene, work, sources.hierarchy, asked.baselines)
        for benchmark, new in (found | speak(asked.speaker, scene, work)).items():
            rows[benchmark] += new
        rows["proposals"].append(_proposal_row(work.image, scene.proposals))
    return as_tables(rows)


def _describer(masks: Masks, hierarchy: Filter) -> Callable[[Answers, int, Sequence[int]], Row]:
    """A function (answers, query, indices of masks) -> the columns of its row."""
    counts, boxes = masks.to_strings(), masks.coco_boxes()
    levels = assign(masks, hierarchy)[0] if len(masks) else []

    def describe(answers: Answers, query: int, keep: Sequence[int]) -> Row:
        index = np.asarray(keep, np.int64)
        columns = {"scores": answers.scores, "relevance": answers.relevance, "grounding": answers.grounding}
        return {
            "boxes": boxes[index].tolist(),
            "counts": [counts[i] for i in keep],
            "levels": [levels[i] for i in keep],
            **{name: values[query, index].tolist() for name, values in columns.items()},
        }

    return describe


def _describe_map(heat: np.ndarray, scene: Scene) -> Row:
    region = Masks.from_dense(map_region(heat, scene.size, scene.proposals.edges)[None])
    return {
        "map_box": region.coco_boxes()[0].tolist(),
        "map_counts": region.to_strings()[0],
        "point": list(peak(heat, scene.size)),
    }
