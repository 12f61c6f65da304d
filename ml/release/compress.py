"""The stage `compressed_model`: fp32, pruned and int8 ONNX side by side, in bytes, points and milliseconds.

Each variant is a folder of its own with the three graphs of `ml.release.export`, so that any of them can be released.
int8 is the pruned model quantized. Only the trained part is pruned: the frozen towers are as they were published.
"""

import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.compute.memory import keep_memory
from ml.compute.pool import meanwhile
from ml.evaluation.metrics.basics import box_iou
from ml.evaluation.predictions.predictor import Crops, Predictor, Scene, TorchHeads
from ml.models.arrcoc import ARRCOC
from ml.models.frozen.clip import Clip, load_clip
from ml.models.frozen.sam import Sam, load_sam
from ml.params import Compression, Params
from ml.release.export import (
    CROP_ENCODER,
    GRAPHS,
    HEADS,
    IMAGE_ENCODER,
    TEXT_ENCODER,
    export_crop_encoder,
    export_heads,
    export_image_encoder,
    export_text_encoder,
    with_weights,
)
from ml.release.prune import prune, sparsity_of
from ml.release.quantize import quantize
from ml.release.questions import questions
from ml.release.runtime import OnnxHeads, onnx_crops, onnx_sam
from ml.sa1b.reading.reader import decode
from ml.training.tracking import tracking
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_dir, write_json
from ml.workspace.keys import file_md5
from ml.workspace.report import Report

VARIANTS = ("fp32", "pruned", "int8")
Row = dict[str, Any]


def compress(ws: Workspace, params: Params) -> Report:
    """Write the three variants and `report.json`; latency goes to the tracking store, since it is never twice the same.

    Raises:
        UserError: a checkpoint is missing or broken, or there are no RefCOCO questions to measure with.
    """
    keep_memory()
    asked = questions(ws.stage("benchmark_data"), params.compression.images)
    backbones, checkpoint = ws.stage("backbones"), ws.stage("multimodal_finetuning")
    sam, clip, model = load_sam(backbones), load_clip(backbones), ARRCOC.load(checkpoint)
    images = [decode(row["path"].read_bytes()) for row in asked]
    with tracking.start(ws, params, "compressed_model") as run, atomic_dir(ws.stage("compressed_model")) as out:
        with meanwhile(_export_heads, checkpoint, out / VARIANTS[0] / HEADS):  # it takes as long as all of this
            write_encoders(sam, clip, out)
            crops = Crops(clip, params.labels.crop_margin)
            scenes = look(out, Predictor(sam, crops, TorchHeads(model, clip), params.evaluation), images)
        sparsity = shrink_heads(model, params.compression, out)
        rows = measure(out, sam, clip, asked, scenes, params)
        latency = {row["variant"]: row.pop("latency_ms") for row in rows}
        write_json(out / "report.json", {"variants": rows, "sparsity": sparsity, "questions": sum(map(_asked, asked))})
        run.metrics({f"latency_ms/{name}": value for name, value in latency.items()})
        run.metrics({f"{key}/{row['variant']}": row[key] for row in rows for key in ("size_mb", "acc@0.5")})
        table = [row | {"latency_ms": round(latency[row["variant"]], 1)} for row in rows]
        run.table("compression", table)
    numbers = {f"{row['variant']} acc@0.5": row["acc@0.5"] for row in rows}
    return Report(numbers={**numbers, "sparsity": sparsity}, tables={"compression": table})


def write_encoders(sam: Sam, clip: Clip, out: Path) -> None:
    """Write the frozen towers of the folders fp32, pruned and int8."""
    fp32, pruned, int8 = (out / name for name in VARIANTS)
    export_image_encoder(sam, fp32 / IMAGE_ENCODER)
    export_crop_encoder(clip, fp32 / CROP_ENCODER)
    export_text_encoder(clip, fp32 / TEXT_ENCODER)
    for folder in (pruned, int8):
        folder.mkdir()
    for graph in (name for name in GRAPHS if name != HEADS):
        shutil.copy(fp32 / graph, pruned / graph)
        quantize(fp32 / graph, int8 / graph)


def shrink_heads(model: ARRCOC, params: Compression, out: Path) -> float:
    """Write pruned and int8 of the heads in fp32; returns the share of zeros among the pruned weights."""
    fp32, pruned_folder, int8 = (out / name for name in VARIANTS)
    pruned = prune(model, params.sparsity, params.structured)
    with_weights(fp32 / HEADS, pruned, pruned_folder / HEADS)
    quantize(pruned_folder / HEADS, int8 / HEADS)
    return round(sparsity_of(pruned), 4)


def look(out: Path, predictor: Predictor, images: Sequence[NDArray[np.uint8]]) -> dict[str, list[Scene]]:
    """The scenes that each variant's encoders see; `predictor` has the SAM whose prompts and masks they share."""
    looked: dict[tuple[str, ...], list[Scene]] = {}  # variants with the same encoders see the same
    scenes = {}
    for name in VARIANTS:
        encoders = tuple(file_md5(out / name / graph) for graph in (IMAGE_ENCODER, CROP_ENCODER))
        if encoders not in looked:
            sam, shown = onnx_sam(predictor.sam, out / name), predictor.crops
            crops = onnx_crops(out / name, shown.encoder.eye, shown.margin)
            seeing = Predictor(sam, crops, predictor.heads, predictor.params)
            looked[encoders] = [seeing.look(image) for image in images]
        scenes[name] = looked[encoders]
    return scenes


def measure(
    out: Path, sam: Sam, clip: Clip, asked: Sequence[Row], scenes: dict[str, list[Scene]], params: Params
) -> list[Row]:
    """Size, accuracy and latency of each variant, the whole path from pixels to a box."""
    first = decode(asked[0]["path"].read_bytes())
    rows = []
    for name in VARIANTS:
        predictor = load_predictor(out / name, sam, clip, params)
        pairs = zip(asked, scenes[name], strict=True)
        right = [answer for row, scene in pairs for answer in correct(predictor, scene, row)]
        rows.append(
            {
                "variant": name,
                "size_mb": round(sum(path.stat().st_size for path in (out / name).iterdir()) / 2**20, 2),
                "acc@0.5": round(100 * float(np.mean(right)), 2),
                "latency_ms": latency(predictor, first, asked[0]["texts"][0], params.compression.latency_runs),
            }
        )
    return rows


def load_predictor(folder: Path, sam: Sam, clip: Clip, params: Params) -> Predictor:
    """A predictor on the graphs of one variant; prompts, masks and the tokenizer are those of `sam` and `clip`."""
    crops = onnx_crops(folder, clip.eye, params.labels.crop_margin)
    heads = OnnxHeads.load(folder, clip.tokenize, params.labels.language)
    return Predictor(onnx_sam(sam, folder), crops, heads, params.evaluation)


def correct(predictor: Predictor, scene: Scene, row: Row) -> list[bool]:
    """For each question to an image, whether the best mask's box has an IoU of at least 0.5 with the true box."""
    answers = predictor.answer(scene, row["texts"])
    boxes = scene.proposals.masks.coco_boxes()
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


def _asked(row: Row) -> int:
    return len(row["texts"])
