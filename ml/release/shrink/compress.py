"""The stage `compressed_model`: fp32, pruned and int8 ONNX side by side, in bytes, points and milliseconds.

Each variant is a folder of its own with the graphs of `ml.release.export.towers`, beside one with what they share, so
that any of them can be released. Only the trained part is pruned: the frozen towers are as they were published. What
pruning costs and saves is measured, and int8, which is released, is the model without it: a runtime for dense matrices
multiplies with zeros as with any other number.

Graphs are written in processes of their own, a tower at a time, and measured a variant at a time: memory is given back
between them, and does not grow with the images.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.compute.memory import keep_memory
from ml.compute.pool import apart, meanwhile
from ml.evaluation.metrics.basics import box_iou
from ml.models.arrcoc import ARRCOC
from ml.models.frozen.clip import load_clip
from ml.models.frozen.sam import load_sam
from ml.params import Compression, Params
from ml.release.export import graphs
from ml.release.export.common import write_common
from ml.release.export.towers import (
    export_crop_encoder,
    export_heads,
    export_image_encoder,
    export_text_encoder,
    with_weights,
)
from ml.release.questions import questions
from ml.release.runtime.predictor import Predictor, Scene
from ml.release.runtime.towers import CROP_ENCODER, HEADS, IMAGE_ENCODER, TEXT_ENCODER
from ml.release.shrink.prune import prune, sparsity_of
from ml.release.shrink.quantize import quantize
from ml.release.variants import COMMON, VARIANTS
from ml.sa1b.reading.reader import decode
from ml.training.tracking import tracking
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_dir, write_json
from ml.workspace.keys import file_md5
from ml.workspace.report import Report

TOWERS = (IMAGE_ENCODER, CROP_ENCODER, TEXT_ENCODER)
Row = dict[str, Any]


def compress(ws: Workspace, params: Params) -> Report:
    """Write the three variants and `report.json`; latency goes to the tracking store, since it is never twice the same.

    Raises:
        UserError: a checkpoint is missing or broken, or there are no RefCOCO questions to measure with.
    """
    keep_memory()
    asked = questions(ws.stage("benchmark_data"), params.compression.images)
    backbones, checkpoint = ws.stage("backbones"), ws.stage("multimodal_finetuning")
    with tracking.start(ws, params, "compressed_model") as run, atomic_dir(ws.stage("compressed_model")) as out:
        with meanwhile(_export_heads, checkpoint, out / VARIANTS[0] / HEADS):  # it takes as long as the towers
            write_towers(backbones, out)
        apart(write_common, backbones, checkpoint, params, out / COMMON)
        sparsity = apart(_shrink_heads, checkpoint, params.compression, out)
        rows = measure(out, asked, params)
        latency = {row["variant"]: row.pop("latency_ms") for row in rows}
        write_json(out / "report.json", {"variants": rows, "sparsity": sparsity, "questions": sum(map(_asked, asked))})
        run.metrics({f"latency_ms/{name}": value for name, value in latency.items()})
        run.metrics({f"latency/{name} of fp32": latency[name] / latency[VARIANTS[0]] for name in VARIANTS[1:]})
        run.metrics({f"{key}/{row['variant']}": row[key] for row in rows for key in ("size_mb", "acc@0.5")})
        table = [_beside_fp32(row, rows[0], latency) for row in rows]
        run.table("compression", table)
    numbers = {f"{row['variant']} acc@0.5": row["acc@0.5"] for row in rows}
    return Report(numbers={**numbers, "sparsity": sparsity}, tables={"compression": table})


def write_towers(backbones: Path, out: Path) -> None:
    """Write the frozen towers of the folders fp32, pruned and int8, each in a process of its own.

    Raises:
        UserError: a checkpoint is missing or broken.
    """
    for name in VARIANTS:
        (out / name).mkdir(exist_ok=True)
    for tower in TOWERS:
        apart(_write_tower, tower, backbones, out)


def shrink_heads(model: ARRCOC, params: Compression, out: Path) -> float:
    """Write pruned and int8 of the heads in fp32; returns the share of zeros among the pruned weights."""
    fp32, pruned_folder, int8 = (out / name for name in VARIANTS)
    pruned = prune(model, params.sparsity, params.structured)
    with_weights(fp32 / HEADS, pruned, pruned_folder / HEADS)
    quantize(fp32 / HEADS, int8 / HEADS)
    return round(sparsity_of(pruned), 4)


def measure(out: Path, asked: Sequence[Row], params: Params) -> list[Row]:
    """Size, accuracy and latency of each variant, the whole path from pixels to a box."""
    rows = [row for names in alike(out) for row in _measured(out, names, asked, params)]
    return sorted(rows, key=lambda row: VARIANTS.index(row["variant"]))


def alike(out: Path) -> list[list[str]]:
    """The variants in groups with the same towers, which see and read the same and differ in their heads alone."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in VARIANTS:
        groups[tuple(file_md5(file) for tower in TOWERS for file in graphs.files(out / name / tower))].append(name)
    return list(groups.values())


def _measured(out: Path, names: Sequence[str], asked: Sequence[Row], params: Params) -> Iterator[Row]:
    """Rows of variants that are alike: an image is looked at once for all, and let go of before the next."""
    predictors = load_predictors(out, names)
    right: dict[str, list[bool]] = defaultdict(list)
    for row in asked:
        scene = predictors[names[0]].look(decode(row["path"].read_bytes()))
        for name, predictor in predictors.items():
            right[name] += correct(predictor, scene, row)
    first, text = decode(asked[0]["path"].read_bytes()), asked[0]["texts"][0]
    for name, predictor in predictors.items():
        yield {
            "variant": name,
            "size_mb": round(sum(path.stat().st_size for path in (out / name).iterdir()) / 2**20, 2),
            "acc@0.5": round(100 * float(np.mean(right[name])), 2),
            "latency_ms": latency(predictor, first, text, params.compression.latency_runs),
        }


def load_predictors(out: Path, names: Sequence[str]) -> dict[str, Predictor]:
    """A predictor on the graphs of each of some variants that are alike, by name: they share their towers."""
    first = Predictor(out / COMMON, out / names[0])
    return {names[0]: first} | {name: first.beside(out / name / HEADS) for name in names[1:]}


def correct(predictor: Predictor, scene: Scene, row: Row) -> list[bool]:
    """For each question to an image, whether the best mask's box has an IoU of at least 0.5 with the true box."""
    answers = predictor.answer(scene, row["texts"])
    boxes = scene.masks.coco_boxes()
    best = [answers.best(query, 1) for query in range(len(row["texts"]))]
    return [
        len(mask) > 0 and bool(box_iou(boxes[mask[0]], np.asarray(box)) >= 0.5)
        for mask, box in zip(best, row["boxes"], strict=True)
    ]


def latency(predictor: Predictor, image: NDArray[np.uint8], text: str, runs: int) -> float:
    """Median milliseconds from an image and a query to scored masks, after one call to warm up."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        predictor.predict(image, [text])
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]) * 1000


def _export_heads(checkpoint: Path, path: Path) -> None:
    export_heads(ARRCOC.load(checkpoint), path)


def _shrink_heads(checkpoint: Path, params: Compression, out: Path) -> float:
    return shrink_heads(ARRCOC.load(checkpoint), params, out)


def _write_tower(tower: str, backbones: Path, out: Path) -> None:
    fp32, pruned, int8 = (out / name for name in VARIANTS)
    _export_tower(tower, backbones, fp32 / tower)
    graphs.copy(fp32 / tower, pruned)
    quantize(fp32 / tower, int8 / tower)


def _export_tower(tower: str, backbones: Path, path: Path) -> None:
    if tower == IMAGE_ENCODER:
        export_image_encoder(load_sam(backbones), path)
    else:
        export = {CROP_ENCODER: export_crop_encoder, TEXT_ENCODER: export_text_encoder}[tower]
        export(load_clip(backbones), path)


def _beside_fp32(row: Row, fp32: Row, latency: dict[str, float]) -> Row:
    """A row of the table: with its latency, and what it is of fp32's."""
    milliseconds = latency[row["variant"]]
    times = milliseconds / latency[fp32["variant"]]
    shares = {"size of fp32": round(row["size_mb"] / fp32["size_mb"], 2), "latency of fp32": round(times, 2)}
    return row | {"latency_ms": round(milliseconds, 1)} | shares


def _asked(row: Row) -> int:
    return len(row["texts"])
