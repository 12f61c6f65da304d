"""The stage `benchmark_scores`: predictions, then every score from the prediction files, then pictures.

`scores.json` holds the objects of `arrcoc report` and more: scores (percent, correlations in -1..1), milestones,
intervals (95%, bootstrap over images), breakdown by kind of expression, ceilings set by the proposals, protocols.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ml.atomic import atomic_dir, write_json
from ml.errors import UserError
from ml.evaluation import metrics
from ml.evaluation.average_precision import lvis_ap, lvis_dataset
from ml.evaluation.gallery import gallery
from ml.evaluation.outcomes import (
    Outcome,
    image_sizes,
    map_scores,
    outcomes,
    phrase_scores,
    referring_scores,
)
from ml.evaluation.predictions import predict, read
from ml.evaluation.published import label
from ml.evaluation.relevance_scores import judge, level_accuracy, relevance_scores
from ml.keys import file_md5
from ml.params import Milestones, Params
from ml.report import Report
from ml.training import tracking
from ml.workspace import Workspace

STAGE = "benchmark_scores"
REFERRING = ("refcoco", "refcoco+", "refcocog", "refcoco_google", "refcocog_google")
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
    "flickr30k": "R@k at IoU 0.5, AnyBox (any box of the entity counts); MergedBox beside it; pointing game of the map",
    "lvis": "zero-shot, every category asked of every image; federated AP, standard: 300 detections an image, "
    "fixed: 10,000 a category; box, and mask where named",
    "relevance": "threshold 0.5 over all (query, given mask) pairs; balanced and all-zero accuracy beside it; "
    "calibration error: 15 bins; consistency: 1 - |parent - most relevant child|",
    "grounding": "the grounding map alone on refcoco val: box of its largest region above 0.5",
    "partial": "a name with -partial is of fewer questions than the benchmark has",
    "intervals": "95%, percentile bootstrap over images, 1000 draws",
    "ceiling": "the share of questions whose answer is among the proposals at IoU 0.5",
}


def evaluate(ws: Workspace, params: Params) -> Report:
    """Predict and score all benchmarks with the multimodal checkpoint; write predictions, scores.json, pictures.

    Raises:
        UserError: a stage before this one has not run, or its output is broken.
    """
    data, backbones = ws.stage("benchmark_data"), ws.stage("backbones")
    checkpoint = ws.stage("multimodal_finetuning")
    require(data)
    with tracking.start(ws, params, STAGE) as run, atomic_dir(ws.stage(STAGE)) as out:
        predict(data, backbones, checkpoint, out / "predictions", params.evaluation, params.filter)
        result = score(data, out / "predictions", params.milestones, params.seed)
        write_json(out / "scores.json", result)
        pictures = gallery(data, out / "predictions", backbones, checkpoint, params.evaluation, params.seed)
        (out / "pictures").mkdir()
        for name, png in pictures.items():
            (out / "pictures" / f"{name}.png").write_bytes(png)
        report = _report(result, pictures)
        _track(run, report, data, checkpoint)
    return report


def require(data: Path) -> None:
    """Check that `data` holds what `benchmark_data` writes.

    Raises:
        UserError: it does not.
    """
    if not (data / "images.parquet").is_file():
        raise UserError(f"{data}: no images.parquet; run arrcoc stage benchmark_data first")


def score(data: Path, predictions: Path, milestones: Milestones, seed: int) -> dict[str, Any]:
    """Score whatever benchmarks `predictions` has files for. Reads no image and runs no model.

    Args:
        data: folder of `benchmark_data`.
        predictions: folder of `<benchmark>.parquet`, ours or another model's.
        milestones: goals in percent.
        seed: of the bootstrap.
    """
    scores: dict[str, dict[str, float]] = {}
    intervals: dict[str, dict[str, list[float]]] = {}
    breakdown: dict[str, dict[str, dict[str, float]]] = {}
    named = labels(data)
    for name in REFERRING:
        for split, found in _splits(data, predictions, name).items():
            key = named[name, split]
            scores[key] = referring_scores(found)
            accuracy = {"acc@0.5": _interval([o.ious[:1] for o in found], found, seed)}
            intervals[key] = accuracy | _mask_intervals(found, seed)
            breakdown[key] = _by_kind(found, "acc@0.5", referring_scores)
            if key == "refcoco/val":
                scores["grounding/val"] = map_scores(found)
                intervals["grounding/val"] = {"acc@0.5": _interval([[o.map_iou] for o in found], found, seed)}
                breakdown["grounding/val"] = _by_kind(found, "acc@0.5", map_scores)
    for split, found in _splits(data, predictions, "flickr30k").items():
        key = named["flickr30k", split]
        scores[key] = phrase_scores(found)
        intervals[key] = {
            "R@1": _interval([o.ious[:1] for o in found], found, seed),
            "R@1 MergedBox": _interval([[o.merged_iou] for o in found], found, seed),
            "pointing": _interval([[o.pointing] for o in found], found, seed),
        }
        breakdown[key] = _by_kind(found, "R@1", phrase_scores)
    if (predictions / "lvis.parquet").is_file():
        scores[named["lvis", "val"]] = _lvis_scores(data, predictions)
    if (predictions / "relevance.parquet").is_file():
        key = "relevance/val"
        scores[key], intervals[key], breakdown[key] = _relevance_scores(data, predictions, seed)
    percent = {key: _percent(values) for key, values in sorted(scores.items())}
    return {
        "scores": percent,
        "milestones": reached(percent, milestones),
        "intervals": intervals,
        "breakdown": breakdown,
        "protocols": PROTOCOLS,
    }


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


def _lvis_scores(data: Path, predictions: Path) -> dict[str, float]:
    sizes = {image: size for image, size in image_sizes(data).items() if image.startswith("lvis/")}
    questions = pq.read_table(data / "queries" / "lvis.parquet").to_pylist()
    categories = {int(row["query_id"]): row["kind"] for row in questions}
    dataset = lvis_dataset(sizes, categories, pq.read_table(data / "truth" / "lvis.parquet").to_pylist())
    ids = {image: number for number, image in enumerate(sorted(sizes), 1)}
    detections = [
        {
            "image_id": ids[row["image"]],
            "category_id": int(query_id.partition("@")[0]),
            "bbox": box,
            "segmentation": {"size": list(sizes[row["image"]]), "counts": counts},
            "score": worth,
        }
        for query_id, row in sorted(read(predictions / "lvis.parquet").items())
        for box, counts, worth in zip(
            row["boxes"], row["counts"] or [""] * len(row["boxes"]), row["scores"], strict=True
        )
    ]
    both = _both_protocols(dataset, detections, "bbox")
    if all(detection["segmentation"]["counts"] for detection in detections):
        masks = _both_protocols(dataset, detections, "segm")
        both |= {f"mask {name}": value for name, value in masks.items()}
    return {name: value if value >= 0 else math.nan for name, value in both.items()}


def _both_protocols(dataset: dict[str, Any], detections: list[dict[str, Any]], kind: str) -> dict[str, float]:
    fixed = lvis_ap(dataset, detections, kind, "fixed")["AP"]
    return lvis_ap(dataset, detections, kind) | {"fixed AP": fixed}


def _relevance_scores(
    data: Path, predictions: Path, seed: int
) -> tuple[dict[str, float], dict[str, list[float]], dict[str, dict[str, float]]]:
    judged = judge(data, predictions)
    scores = relevance_scores(judged) | {"level accuracy": level_accuracy(data, predictions)}
    hits, totals = [j.correct.sum() for j in judged], [len(j.correct) for j in judged]
    low, high = metrics.bootstrap(hits, totals, [j.image for j in judged], seed)
    kinds = sorted({j.kind for j in judged})
    breakdown = {kind: relevance_scores([j for j in judged if j.kind == kind]) for kind in kinds}
    shown = ("accuracy", "balanced accuracy", "grounding IoU")
    table = {
        kind: _percent({name: values[name] for name in shown}) | {"questions": sum(j.kind == kind for j in judged)}
        for kind, values in breakdown.items()
    }
    return scores, {"accuracy": [round(100 * low, 2), round(100 * high, 2)]}, table


def _interval(ious: Sequence[Sequence[float]], found: Sequence[Outcome], seed: int) -> list[float]:
    hits = [metrics.hit_within(row, 1) for row in ious]
    low, high = metrics.bootstrap(hits, np.ones(len(hits)), [o.image for o in found], seed)
    return [round(100 * low, 2), round(100 * high, 2)]


def _mask_intervals(found: Sequence[Outcome], seed: int) -> dict[str, list[float]]:
    """Of gIoU, a mean of ratios, and of cIoU, a ratio of sums."""
    rows = [(o.image, *o.mask) for o in found if o.mask is not None]
    if not rows:
        return {}
    images, common, either = zip(*rows, strict=True)
    ratios = np.array(common) / np.maximum(either, 1)
    bounds = {
        "gIoU": metrics.bootstrap(ratios, np.ones(len(ratios)), images, seed),
        "cIoU": metrics.bootstrap(common, either, images, seed),
    }
    return {name: [round(100 * low, 2), round(100 * high, 2)] for name, (low, high) in bounds.items()}


def _by_kind(
    found: Sequence[Outcome], metric: str, scores: Callable[[Sequence[Outcome]], dict[str, float]]
) -> dict[str, dict[str, float]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in found:
        for group in (outcome.kind, *outcome.groups):
            groups[group].append(outcome)
    return {
        kind: _percent({metric: scores(members)[metric]}) | {"questions": len(members)}
        for kind, members in sorted(groups.items())
    }


def _percent(values: dict[str, float]) -> dict[str, float]:
    """Fractions as percent with two digits; what could not be scored is left out."""
    finite = {name: value for name, value in values.items() if np.isfinite(value)}
    return {name: round(value, 4) if name in RAW else round(100 * value, 2) for name, value in finite.items()}


def _report(result: dict[str, Any], pictures: dict[str, bytes]) -> Report:
    flat = {f"{b}/{name}": value for b, values in result["scores"].items() for name, value in values.items()}
    rows = [
        {"benchmark": b, "metric": name, "value": value, "interval": result["intervals"].get(b, {}).get(name)}
        for b, values in result["scores"].items()
        for name, value in values.items()
    ]
    kinds = [
        {"benchmark": b, "kind": kind, **values}
        for b, table in sorted(result["breakdown"].items())
        for kind, values in table.items()
    ]
    tables = {"scores": rows, "milestones": result["milestones"], "breakdown": kinds}
    return Report(numbers=flat, tables=tables, pictures=pictures)


def _track(run: tracking.Run, report: Report, data: Path, checkpoint: Path) -> None:
    """One MLflow run with all scores, tables and pictures; MLflow's names have no +."""
    for name, file in (("benchmark_data", data / "images.parquet"), ("checkpoint", checkpoint / "model.safetensors")):
        run.dataset(name, file_md5(file))
    run.metrics({name: float(value) for name, value in report.numbers.items()})
    for name, rows in report.tables.items():
        run.table(name, [{key: str(value) for key, value in row.items()} for row in rows])
    for name, picture in report.pictures.items():
        run.picture(name, picture)
