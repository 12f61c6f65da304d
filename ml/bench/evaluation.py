"""Average precision against the packages that define it: pycocotools, and LVIS's own `lvis`.

Both sides get the same truth and the same detections, drawn at random, and must agree to the last digit.
"""

import contextlib
import importlib.util
import io
import logging
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ml.bench.measure import Row, result, times
from ml.errors import UserError
from ml.evaluation.metrics.average_precision import coco_ap, lvis_ap, of_kind

IMAGES, SIZE = 5_000, (480, 640)
INSTANCES, DETECTIONS = 12, 30  # an image
SAME = 1e-12

Dataset = dict[str, Any]
Evaluate = Callable[..., dict[str, float]]


def bench() -> dict[str, Any]:
    """Processor seconds for box AP on 5,000 images, ours and the reference's.

    Raises:
        UserError: the `lvis` package is not installed, or the two sides differ.
    """
    rows = [
        _compare("COCO", 80, coco_ap, official_coco, "pycocotools"),
        _compare("LVIS", 1_203, lvis_ap, official_lvis, "lvis"),
    ]
    return result("evaluation", rows)


def _compare(name: str, categories: int, ours: Evaluate, official: Evaluate, peer: str) -> Row:
    dataset, detections = drawn(np.random.default_rng(0), IMAGES, categories)
    mine, seconds = _timed(ours, dataset, detections)
    theirs, peer_seconds = _timed(official, dataset, detections)
    for metric, value in theirs.items():
        if abs(mine[metric] - value) > SAME:
            raise UserError(f"{name} {metric}: ours is {mine[metric]}, {peer} says {value}; they must agree")
    case = f"{name} box AP, {IMAGES} images, {categories} categories, {len(detections)} detections"
    return times(case, seconds, peer_seconds, peer, "s")


def _timed(evaluate: Evaluate, dataset: Dataset, detections: list[Dataset]) -> tuple[dict[str, float], float]:
    dataset, detections = deepcopy(dataset), deepcopy(detections)
    print(f"{evaluate.__name__} ...", file=sys.stderr, flush=True)
    start = time.process_time()
    found = evaluate(dataset, detections, "bbox")
    return found, time.process_time() - start


def drawn(rng: np.random.Generator, images: int, categories: int) -> tuple[Dataset, list[Dataset]]:
    """A data set annotated as LVIS is, and detections near its boxes, at random; scores tie, having two digits."""
    rows: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for number in range(1, images + 1):
        known = rng.choice(np.arange(1, categories + 1), 8, replace=False)
        rows.append(_image_row(rng, number, known))
        boxes = np.concatenate([rng.uniform(0, 400, (INSTANCES, 2)), rng.uniform(5, 150, (INSTANCES, 2))], 1)
        present = rng.choice(known[:4], INSTANCES)
        annotations += [
            _row(number, category, box) | {"id": len(annotations) + i, "area": float(box[2:].prod()), "iscrowd": 0}
            for i, (category, box) in enumerate(zip(present, boxes, strict=True), 1)
        ]
        near = np.abs(boxes[np.arange(DETECTIONS) % INSTANCES] + rng.normal(0, 4, (DETECTIONS, 4)))
        said = np.where(rng.random(DETECTIONS) < 0.7, present[np.arange(DETECTIONS) % INSTANCES], rng.choice(known))
        scores = rng.random(DETECTIONS).round(2)
        detections += [_row(number, *said_and_box) for said_and_box in zip(said, near, strict=True)]
        for detection, score in zip(detections[-DETECTIONS:], scores, strict=True):
            detection["score"] = float(score)
    named = [{"id": c, "name": str(c), "frequency": "rcf"[c % 3]} for c in range(1, categories + 1)]
    return {"images": rows, "annotations": annotations, "categories": named, "info": {}}, detections


def _image_row(rng: np.random.Generator, number: int, known: np.ndarray) -> dict[str, Any]:
    loose = [int(known[0])] if rng.random() < 0.2 else []
    federated = {"neg_category_ids": [int(c) for c in known[4:]], "not_exhaustive_category_ids": loose}
    return {"id": number, "height": SIZE[0], "width": SIZE[1], **federated}


def _row(image: int, category: int, box: np.ndarray) -> dict[str, Any]:
    return {"image_id": image, "category_id": int(category), "bbox": [float(v) for v in box]}


def official_coco(dataset: Dataset, detections: list[Dataset], kind: str) -> dict[str, float]:
    """What pycocotools says, by the names of `coco_ap`."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([of_kind(d, kind) for d in detections]), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "", "", "AR")
    return {name: float(value) for name, value in zip(names, evaluation.stats, strict=False) if name}


def official_lvis(dataset: Dataset, detections: list[Dataset], kind: str, most: int = 300) -> dict[str, float]:
    """What the official `lvis` says, by the names of `lvis_ap`; `most`: detections an image, -1 for all.

    Raises:
        UserError: the package is not installed.
    """
    if importlib.util.find_spec("lvis") is None:
        raise UserError("package lvis is not installed; make env, or pip install --no-deps lvis==0.5.3")
    np.float = float  # type: ignore[attr-defined]  # numpy dropped this name; the package still uses it
    from lvis import LVIS, LVISEval, LVISResults

    logging.getLogger("lvis").setLevel(logging.ERROR)
    truth = LVIS.__new__(LVIS)  # its own constructor reads a file
    truth.logger, truth.dataset = logging.getLogger("lvis"), dataset
    truth._create_index()
    results = LVISResults(truth, [of_kind(d, kind) for d in detections], max_dets=most)
    evaluation = LVISEval(truth, results, kind)
    evaluation.run()
    found = {name.partition("@")[0]: float(value) for name, value in evaluation.results.items()}
    return {name: value for name, value in found.items() if name == "AR" or not name.startswith("AR")}
