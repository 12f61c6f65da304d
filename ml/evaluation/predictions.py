"""Predictions for all benchmarks, written once: a new metric needs no new inference.

Reads what `benchmark_data` wrote except `truth/`; writes what `ml.evaluation.prediction_files` describes, as it comes:
memory does not grow with the images. All proposed masks are kept beside the answers: their best IoU with the truth is
the ceiling of all scores.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ml.evaluation.benchmark_data import image_path
from ml.evaluation.plan import CAPTIONS, DETECTION, GIVEN, SPOKEN, Question, Work, plan
from ml.evaluation.prediction_files import Row, Tables, as_tables, prediction_files
from ml.evaluation.predictor import Answers, Predictor, Scene, TorchHeads, map_region, peak
from ml.evaluation.proposals import Proposals
from ml.evaluation.speech import Speaker
from ml.labeling.hierarchy import assign
from ml.masks import Masks
from ml.models.arrcoc import ARRCOC
from ml.models.clip import load_clip
from ml.models.sam import load_sam
from ml.params import Evaluation, Filter
from ml.pool import ShardPool, in_order
from ml.sa1b.reader import decode

TOP = 10  # masks kept a question: R@10 is the deepest metric
DETECTIONS = 300  # masks kept an image over all categories: LVIS's protocol
CHUNK = 8  # images a task of the pool
MASKS_ALONE = (GIVEN, DETECTION)  # scored by their masks; their grounding maps are not kept


def predict(data: Path, backbones: Path, checkpoint: Path, out: Path, params: Evaluation, hierarchy: Filter) -> int:
    """Predict every benchmark in `data` with the model in `checkpoint`; write to `out`. Returns how many images.

    Raises:
        UserError: weights are missing or broken.
    """
    works = plan(data)
    starts = [str(start) for start in range(0, len(works), CHUNK)]
    stamps = [_stamp(folder) for folder in (data, backbones, checkpoint)]
    answer = partial(_answer_chunk, data, backbones, checkpoint, params, hierarchy, stamps)
    with ShardPool(params.workers) as pool, prediction_files(out) as append:
        for tables in in_order(pool.map(answer, starts), starts):
            append(tables)
    return len(works)


def answer_work(predictor: Predictor, scene: Scene, work: Work, hierarchy: Filter) -> dict[str, list[Row]]:
    """Rows of each benchmark for one image: all questions about proposals at once, those about given masks apart."""
    given = None if work.counts is None else Masks.parse(work.counts, scene.size)
    shown = [q for q in work.questions if q.benchmark not in SPOKEN]
    about_given = [q for q in shown if q.benchmark == GIVEN and given is not None]
    about_proposals = [q for q in shown if q.benchmark != GIVEN or given is None]
    rows: dict[str, list[Row]] = defaultdict(list)
    for asked, masks in ((about_proposals, None), (about_given, given)):
        if asked:
            for question, row in _rows(predictor, scene, asked, masks, hierarchy):
                rows[question.benchmark].append({"query_id": question.query_id, "image": work.image, **row})
    return dict(rows)


def _rows(
    predictor: Predictor, scene: Scene, asked: Sequence[Question], masks: Masks | None, hierarchy: Filter
) -> Iterator[tuple[Question, Row]]:
    """Each question with its row; a question of detection that none of the image's best masks answers has none."""
    answers = predictor.answer(scene, [question.text for question in asked], masks)
    every = np.array([question.benchmark == DETECTION for question in asked])
    if masks is None:
        answers = as_detections(answers, every, scene.proposals.predicted_ious)
    kept = _kept(answers, every, whole=masks is not None)
    describe = _describer(answers, scene.proposals.masks if masks is None else masks, hierarchy)
    for q, question in enumerate(asked):
        if len(kept[q]) or not every[q]:
            about_map = {} if question.benchmark in MASKS_ALONE else _describe_map(answers.maps[q], scene.size)
            yield question, describe(q, kept[q]) | about_map


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


# A process answers many chunks with one model; the stamps tell it when a folder was written anew.


@lru_cache(maxsize=1)
def _models(backbones: Path, checkpoint: Path, params: Evaluation, *stamps: int) -> tuple[Predictor, Speaker]:
    sam, clip, model = load_sam(backbones), load_clip(backbones), ARRCOC.load(checkpoint)
    predictor = Predictor(sam, TorchHeads(model, clip), clip.tokenize, params)
    return predictor, Speaker(model, clip, sam.image_size)


@lru_cache(maxsize=1)
def _plan(data: Path, stamp: int) -> list[Work]:
    return plan(data)


def _stamp(folder: Path) -> int:
    return max((file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()), default=0)


def _answer_chunk(
    data: Path,
    backbones: Path,
    checkpoint: Path,
    params: Evaluation,
    hierarchy: Filter,
    stamps: list[int],
    start: str,
) -> Tables:
    predictor, speaker = _models(backbones, checkpoint, params, *stamps[1:])
    rows: dict[str, list[Row]] = defaultdict(list)
    for work in _plan(data, stamps[0])[int(start) : int(start) + CHUNK]:
        scene = predictor.look(decode(image_path(data, work.image).read_bytes()))
        found = answer_work(predictor, scene, work, hierarchy) | speak(speaker, scene, work)
        for benchmark, new in found.items():
            rows[benchmark] += new
        rows["proposals"].append(_proposal_row(work.image, scene.proposals))
    return as_tables(rows)


def _describer(answers: Answers, masks: Masks, hierarchy: Filter) -> Callable[[int, Sequence[int]], Row]:
    """A function (query, indices of masks) -> the columns of its row."""
    counts, boxes = masks.to_strings(), masks.coco_boxes()
    levels = assign(masks, hierarchy)[0] if len(masks) else []

    def describe(query: int, keep: Sequence[int]) -> Row:
        index = np.asarray(keep, np.int64)
        columns = {"scores": answers.scores, "relevance": answers.relevance, "grounding": answers.grounding}
        return {
            "boxes": boxes[index].tolist(),
            "counts": [counts[i] for i in keep],
            "levels": [levels[i] for i in keep],
            **{name: values[query, index].tolist() for name, values in columns.items()},
        }

    return describe


def _describe_map(heat: np.ndarray, size: tuple[int, int]) -> Row:
    region = Masks.from_dense(map_region(heat, size)[None])
    return {
        "map_box": region.coco_boxes()[0].tolist(),
        "map_counts": region.to_strings()[0],
        "point": list(peak(heat, size)),
    }


def as_detections(answers: Answers, every: np.ndarray, predicted_ious: np.ndarray) -> Answers:
    """Answers with other scores for the queries `every` (bool [Q]): relevance x SAM's predicted IoU.

    Average precision ranks the detections of all images together, and a sloppy mask is worth less.
    """
    worth = answers.relevance * predicted_ious
    return replace(answers, scores=np.where(every[:, None], worth, answers.scores))


def _kept(answers: Answers, every: np.ndarray, whole: bool) -> list[list[int]]:
    """Per query, the masks that its row keeps, best first: the top few, or of detections the image's best over all
    its queries, or (`whole`) every mask in the order given."""
    queries, masks = answers.scores.shape
    if whole:
        return [list(range(masks))] * queries
    kept = [[] if every[q] else answers.best(q, TOP).tolist() for q in range(queries)]
    asked = np.flatnonzero(every)
    order = np.argsort(-answers.scores[asked], axis=None, kind="stable")[:DETECTIONS]
    for query, mask in zip(*np.unravel_index(order, (len(asked), max(masks, 1))), strict=True):
        kept[asked[query]].append(int(mask))
    return kept
