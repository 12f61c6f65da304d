"""The released model as a folder of its own, which needs nothing but this package and the image.

int8 graphs, mask_decoder.safetensors + .json (SAM's prompts and masks), clip.json + merges (tokenizer), package.json
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.errors import UserError
from ml.evaluation.predictions.predictor import Predictor
from ml.labeling.geometry.hierarchy import assign
from ml.models.weights import read_config
from ml.params import Evaluation, Filter, Params
from ml.release import graphs
from ml.release.export import GRAPHS
from ml.release.mask_decoder import load_mask_decoder, write_mask_decoder
from ml.release.runtime import OnnxHeads, eye_of, onnx_crops, onnx_sam, tokenizer
from ml.workspace.atomic import write_json

CONFIG = "package.json"


@dataclass(frozen=True)
class Package:
    """A loaded release: the predictor, and how masks get their levels."""

    predictor: Predictor
    hierarchy: Filter


def write_package(backbones: Path, variant: Path, params: Params, out: Path) -> None:
    """Collect what prediction needs from the frozen backbones and one variant's graphs.

    Raises:
        UserError: the backbones are missing or broken.
    """
    out.mkdir(parents=True, exist_ok=True)
    clip = read_config(backbones / "clip.json")
    write_mask_decoder(backbones, out)
    for name in ["clip.json", *filter(None, [clip["merges"]])]:
        shutil.copyfile(backbones / name, out / name)
    for name in GRAPHS:
        graphs.copy(variant / name, out)
    config = {
        "evaluation": params.evaluation.model_dump(),
        "filter": params.filter.model_dump(),
        "crop_margin": params.labels.crop_margin,
        "language": params.labels.language,
    }
    write_json(out / CONFIG, config)


def load_package(folder: Path) -> Package:
    """Load what `write_package` wrote.

    Raises:
        UserError: there is no package, or it is broken.
    """
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder}: no released model there; make one with: arrcoc run")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    predictor = Predictor(
        onnx_sam(load_mask_decoder(folder), folder),
        onnx_crops(folder, eye_of(folder), config["crop_margin"]),
        OnnxHeads.load(folder, tokenizer(folder), config["language"]),
        Evaluation(**config["evaluation"]),
    )
    return Package(predictor, Filter(**config["filter"]))


def answer(package: Package, image: NDArray[np.uint8], query: str, most: int = 10) -> dict[str, Any]:
    """What `arrcoc predict` prints for an RGB image `[H, W, 3]`: the box (xywh, pixels), its score, ranked masks.

    "present": whether anything is what the query means; where nothing is, the box and the masks are the nearest to it.
    """
    scene, answers = package.predictor.predict(image, [query])
    masks = scene.proposals.masks
    order = answers.best(0, most)
    if not len(order):
        return {"query": query, "present": False, "box": None, "score": 0.0, "masks": []}
    levels = assign(masks, package.hierarchy)[0]
    boxes, areas = masks.coco_boxes(), masks.areas()
    counts = masks.to_strings()
    found = [
        {
            "box": [round(float(value), 1) for value in boxes[i]],
            "area": int(areas[i]),
            "level": levels[i],
            "relevance": round(float(answers.relevance[0, i]), 4),
            "segmentation": {"size": list(scene.size), "counts": counts[i]},
        }
        for i in order
    ]
    return {
        "query": query,
        "present": answers.present(0),
        "box": found[0]["box"],
        "score": round(float(answers.scores[0, order[0]]), 4),
        "masks": found,
    }
