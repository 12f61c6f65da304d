"""The stage `benchmark_scores`: predictions, then every score from the prediction files, then pictures.

`scores.json` holds the objects of `arrcoc report` and more: scores (percent, correlations in -1..1), milestones,
intervals (95%, bootstrap over images), breakdown by kind of expression, ceilings set by the proposals, protocols.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ml.compute.pool import Pool, ShardPool
from ml.errors import UserError
from ml.evaluation.benchmarks.published import label
from ml.evaluation.metrics import basics as metrics
from ml.evaluation.metrics.absence_scores import absence_scores
from ml.evaluation.metrics.basics import Groups, Intervals, Scores
from ml.evaluation.metrics.lvis_scores import lvis_scores
from ml.evaluation.metrics.outcomes import Addends, Outcome, maps, outcomes, phrases, ratios, referring
from ml.evaluation.metrics.relevance_scores import judge, level_accuracy, relevance_intervals, relevance_scores
from ml.evaluation.metrics.spoken_scores import (
    Spoken,
    answer_scores,
    caption_scores,
    exact,
    spoken,
    vqa_accuracy,
)
from ml.evaluation.pages import for_dvc, tables
from ml.evaluation.pages.gallery import gallery
from ml.evaluation.predictions.answers import BASELINES, predict
from ml.evaluation.predictions.loaded import Sources
from ml.evaluation.predictions.plan import CAPTIONS, VQA
from ml.params import Milestones, Params
from ml.training.tracking import tracking
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_dir, write_json
from ml.workspace.keys import file_md5
from ml.workspace.report import Report

STAGE = "benchmark_scores"
REFERRING = ("refcoco", "refcoco+", "refcocog", "refcoco_google", "refcocog_google")
Metric = Callable[[Sequence[Outcome]], Addends]
RAW = ("pearson", "spearman")  # all other scores are shown in percent
GOALS = {  # milestone -> where its value stands
    "grounding": ("grounding/val", "acc@0.5"),
    "relevance": ("relevance/val", "accuracy"),
    "refcoco": ("refcoco/val", "acc@0.5"),
    "flickr30k": ("flickr30k/test", "R@1"),
}
PROTOCOLS = {
    "refcoco, refcoco+, refcocog": "REC acc@IoU of the best mask's box, over sentences; RES of that mask: "
    "gIoU (mean IoU), cIoU (summed), P@IoU",
    "flickr30k": "R@k at IoU 0.5, AnyBox (any box of the entity counts); MergedBox (the box around all) beside it; "
    "pointing game of the map",
    "lvis": "zero-shot, every category asked of every image; federated AP, standard: 300 detections an image, "
    "fixed: 10,000 a category; box, and mask where named",
    "relevance": "threshold 0.5 over all (query, given mask) pairs; balanced and all-zero accuracy beside it; "
    "calibration error: 15 bins; consistency: 1 - |parent - most relevant child|",
    "absence": "a thing is found where the best relevance of any proposal is above 0.5; AUC of that relevance, present "
    "against absent; kinds: a name, another colour of a kind that is there, right things in a wrong relation",
    "grounding": "the grounding map alone on refcoco val: box of its surest region above 0.5",
    "flickr30k_captions": "BLEU-4 of sacrebleu, lower case, against all sentences of the image; greedy words",
    "vqa": "exact match with the commonest of ten answers, and VQA accuracy; without case, articles, punctuation",
    "partial": "a name with -partial is of fewer questions than the benchmark has",
    "intervals": "95%, percentile bootstrap over images, 1000 draws; of AP 200",
    "ceiling": "the share of questions whose answer is among the proposals at IoU 0.5; "
    "of lvis: AP where each object is answered by the proposal that fits it best",
}


def evaluate(ws: Workspace, params: Params) -> Report:
    """Predict and score all benchmarks with the multimodal checkpoint; write predictions, scores.json, pictures.

    Raises:
        UserError: a stage before this one has not run, or its output is broken.
    """
    data, checkpoint = ws.stage("benchmark_data"), ws.stage("multimodal_finetuning")
    sources = Sources.of(ws.stage("backbones"), checkpoint, params.evaluation, params.filter)
    require(data)
    with tracking.start(ws, params, STAGE) as run, atomic_dir(ws.stage(STAGE)) as out:
        with ShardPool(params.evaluation.workers, "evaluation.workers") as pool:
            predict(data, sources, out / "predictions", pool)
            rivals = baselines(data, out / "predictions" / BASELINES, params, pool)
            pictures = gallery(data, out / "predictions", sources, params.seed, pool)
        result = score(data, out / "predictions", params.milestones, params.seed) | {"baselines": rivals}
        write_json(out / "scores.json", result)
        for_dvc.write(result, out)
        (out / "pictures").mkdir()
        for name, png in pictures.items():
            (out / "pictures" / f"{name}.png").write_bytes(png)
        report = _report(result, pictures)
        _track(run, result, report, data, checkpoint)
    return report


def require(data: Path) -> None:
    """Check that `data` holds what `benchmark_data` writes.

    Raises:
        UserError: it does not.
    """
    if not (data / "images.parquet").is_file():
        raise UserError(f"{data}: no images.parquet; run arrcoc stage benchmark_data first")


def baselines(data: Path, folder: Path, params: Params, pool: Pool) -> dict[str, Any]:
    """The baselines scored on the same questions: its name -> {"scores", "intervals", "breakdown"}."""
    names = sorted(place.name for place in folder.glob("*/"))
    work = partial(_baseline, data, folder, params.milestones, params.seed)
    found = dict(pool.map(work, names))
    return {name: {part: found[name][part] for part in ("scores", "intervals", "breakdown")} for name in names}


def _baseline(data: Path, folder: Path, milestones: Milestones, seed: int, name: str) -> dict[str, Any]:
    return score(data, folder / name, milestones, seed)


def score(data: Path, predictions: Path, milestones: Milestones, seed: int) -> dict[str, Any]:
    """Score whatever benchmarks `predictions` has files for. Reads no image and runs no model.

    Args:
        data: folder of `benchmark_data`.
        predictions: folder of `<benchmark>.parquet`, ours or another model's.
        milestones: goals in percent.
        seed: of the bootstrap.
    """
    board, named = Board(seed), labels(data)
    for name in REFERRING:
        for split, found in _splits(data, predictions, name).items():
            board.add(named[name, split], found, referring, "acc@0.5")
            if named[name, split] == "refcoco/val" and any(outcome.mapped for outcome in found):
                board.add("grounding/val", found, maps, "acc@0.5")
    for split, found in _splits(data, predictions, "flickr30k").items():
        board.add(named["flickr30k", split], found, phrases, "R@1")
    if (predictions / "lvis.parquet").is_file():
        board.put(named["lvis", "val"], *lvis_scores(data, predictions, seed))
    if (predictions / "relevance.parquet").is_file():
        board.put("relevance/val", *_relevance_scores(data, predictions, seed))
    if (predictions / "absence.parquet").is_file():
        board.put("absence/val", *absence_scores(data, predictions, seed))
    if (predictions / f"{CAPTIONS}.parquet").is_file():
        for split, said in spoken(data, predictions, CAPTIONS).items():
            board.put(named[CAPTIONS, split], *caption_scores(said, seed))
    if (predictions / f"{VQA}.parquet").is_file():
        for split, said in spoken(data, predictions, VQA).items():
            board.put(named[VQA, split], *_answer_scores(said, seed))
    scores = dict(sorted(board.scores.items()))
    return {
        "scores": scores,
        "milestones": reached(scores, milestones),
        "intervals": board.intervals,
        "breakdown": board.breakdown,
        "protocols": PROTOCOLS,
    }


@dataclass
class Board:
    """Scores, intervals and breakdowns by benchmark, in percent."""

    seed: int
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    intervals: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    breakdown: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def add(self, key: str, found: Sequence[Outcome], metric: Metric, headline: str) -> None:
        """Questions whose answer is a region: every metric with its interval, the headline by kind and group."""
        addends, images = metric(found), [o.image for o in found]
        bounds = {name: metrics.bootstrap(*pair, images, self.seed) for name, pair in addends.items()}
        groups: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in found:
            for group in (outcome.kind, *outcome.groups):
                groups[group].append(outcome)
        by_group = {group: ({headline: ratios(metric(rows))[headline]}, len(rows)) for group, rows in groups.items()}
        self.put(key, ratios(addends), bounds, by_group)

    def put(self, key: str, scores: Scores, intervals: Intervals, groups: Groups | None = None) -> None:
        """What a benchmark scored, as fractions; `groups`: the same of some of its questions, and how many."""
        self.scores[key] = _percent(scores)
        bounds = {name: _percent(dict(zip("lh", pair, strict=True)), name) for name, pair in intervals.items()}
        self.intervals[key] = {name: list(pair.values()) for name, pair in bounds.items() if len(pair) == 2}
        if groups:
            rows = sorted(groups.items())
            self.breakdown[key] = {kind: _percent(values) | {"questions": count} for kind, (values, count) in rows}


def labels(data: Path) -> dict[tuple[str, str], str]:
    """The name under which each split is scored: a partial set never goes by the full benchmark's."""
    sets = json.loads((data / "sets.json").read_text(encoding="utf-8"))
    return {(name, split): label(name, split, row) for name, splits in sets.items() for split, row in splits.items()}


def reached(scores: dict[str, dict[str, float]], goals: Milestones) -> list[dict[str, Any]]:
    """The milestones that scores (in percent) can answer: {"name", "goal", "value", "met"}."""
    rows = []
    for name, goal in goals.model_dump().items():
        benchmark, metric = GOALS[name]
        if (value := scores.get(benchmark, {}).get(metric)) is not None:
            rows.append({"name": name, "goal": goal, "value": value, "met": value >= goal})
    return rows


def _splits(data: Path, predictions: Path, benchmark: str) -> dict[str, list[Outcome]]:
    """Outcomes by split; empty where the benchmark was not predicted."""
    if not (predictions / f"{benchmark}.parquet").is_file():
        return {}
    splits: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes(data, predictions, benchmark):
        splits[outcome.split].append(outcome)
    return dict(splits)


def _relevance_scores(data: Path, predictions: Path, seed: int) -> tuple[Scores, Intervals, Groups]:
    judged = judge(data, predictions)
    scores = relevance_scores(judged) | {"level accuracy": level_accuracy(data, predictions)}
    shown = ("accuracy", "balanced accuracy", "grounding IoU")
    groups: Groups = {}
    for kind in {j.kind for j in judged}:
        members = [j for j in judged if j.kind == kind]
        values = relevance_scores(members)
        groups[kind] = ({name: values[name] for name in shown}, len(members))
    return scores, relevance_intervals(judged, seed), groups


def _answer_scores(found: Sequence[Spoken], seed: int) -> tuple[Scores, Intervals, Groups]:
    images, ones = [f.image for f in found], np.ones(len(found))
    bounds = {
        "exact match": metrics.bootstrap([exact(f) for f in found], ones, images, seed),
        "VQA accuracy": metrics.bootstrap([vqa_accuracy(f) for f in found], ones, images, seed),
    }
    kinds = {f.kind: [g for g in found if g.kind == f.kind] for f in found}
    groups: Groups = {kind: (answer_scores(members), len(members)) for kind, members in kinds.items()}
    return answer_scores(found), bounds, groups


def _percent(values: dict[str, float], metric: str | None = None) -> dict[str, float]:
    """Fractions as percent with two digits; what could not be scored is left out. `metric`: what all are values of."""
    finite = {name: value for name, value in values.items() if np.isfinite(value)}
    return {
        name: round(value, 4) if (metric or name) in RAW else round(100 * value, 2) for name, value in finite.items()
    }


def _report(result: dict[str, Any], pictures: dict[str, bytes]) -> Report:
    """Each benchmark's first score as a number, which Dagster plots over time; all of them in tables."""
    first = {f"{b}/{name}": value for b, values in result["scores"].items() for name, value in [*values.items()][:1]}
    shown = {
        "1 headlines": tables.summary(result),
        "2 referring expressions": tables.referring(result),
        "3 other benchmarks": tables.others(result),
        "4 by kind of expression": tables.referring_kinds(result),
        "5 by kind of phrase or answer": tables.other_kinds(result),
        "6 baselines": tables.baselines(result),
        "milestones": result["milestones"],
    }
    return Report(numbers=dict(first), tables={name: rows for name, rows in shown.items() if rows}, pictures=pictures)


def _track(run: tracking.Run, result: dict[str, Any], report: Report, data: Path, checkpoint: Path) -> None:
    """One MLflow run with all scores, tables and pictures."""
    for name, file in (("benchmark_data", data / "images.parquet"), ("checkpoint", checkpoint / "model.safetensors")):
        run.dataset(name, file_md5(file))
    scores = {f"{b}/{name}": value for b, values in result["scores"].items() for name, value in values.items()}
    run.metrics(scores)
    run.headlines(tables.headlines(scores))
    for name, rows in report.tables.items():
        run.table(name, [{key: str(value) for key, value in row.items()} for row in rows])
    for name, picture in report.pictures.items():
        run.picture(name, picture)
