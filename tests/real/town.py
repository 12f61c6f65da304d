"""A workspace of preset `sa1b` with few steps, on models and pictures of real size, and its stages one by one."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from checkpoints import CLIP, COCA, SAM, random_clip, random_sam
from measured import Took, run

from ml.bench.files import Pair, write_shard
from ml.workspace.settings import preset

IMAGES = 4
PHRASES = ("a red car", "a tall tree", "two people on a bench", "a wooden door", "the sky", "a small dog")
SETS = ("refcoco", "flickr30k", "lvis", "relevance", "vqa", "absence")
TRAINING = ("mask_region_alignment", "text_region_grounding", "relevance_learning", "multimodal_finetuning")
STAGES = (
    *("sa1b_shards", "mask_index", "filtered_masks", "backbones", "pseudo_labels", "image_features"),
    *("benchmark_data", "training_set", *TRAINING, "benchmark_scores", "compressed_model", "released_model"),
)
FEW: dict[str, dict[str, Any]] = {
    "shards": {"source": "tars", "workers": 1, "count": None},
    "filter": {"predicted_iou": 0.0, "stability_score": 0.0},
    "backbones": {
        "sam": {"model_type": SAM, "checkpoint": "checkpoints/sam.pth", "sha256": None},
        "clip": {
            "model_name": CLIP,
            "pretrained": "checkpoints/clip.pt",
            "sha256": None,
            "captioner_name": COCA,
            "captioner_pretrained": "checkpoints/coca.safetensors",
            "captioner_sha256": None,
        },
    },
    # Random towers say nothing of what they see: captions come from a file, and all are believed.
    "labels": {
        "captioner": "file",
        "caption_file": "captions.jsonl",
        "least_agreement": 0.0,
        "similarity_midpoint": -1.0,
    },
    "training_set": {"validation_fraction": 0.5, "decontaminate": False},
    "benchmarks": dict.fromkeys(SETS, "toytown"),
    "toytown": {f"{name}_images": 1 for name in SETS},
    "training": {
        "processes": 1,
        "global_batch": 1,
        "batch_size": 1,
        "loader_workers": 1,
        "validations": 1,
        "log_interval": 1,
    },
    **{stage: {"steps": 2} for stage in TRAINING},
    "evaluation": {
        "points_per_side": 8,
        "max_points": 64,
        "max_proposals": 16,
        "workers": 1,
        "gallery": 2,
        "predicted_iou": 0.0,
        "stability_score": 0.0,
    },
    "milestones": dict.fromkeys(("grounding", "relevance", "refcoco", "flickr30k"), 0.0),
    "compression": {"images": 1, "latency_runs": 1},
    "release": {"max_drop": 100.0},
}


class Row(NamedTuple):
    """What a stage took, and what it wrote, in bytes."""

    stage: str
    took: Took
    written: int


def build(root: Path, pair: Pair) -> None:
    """Turn a checkout into such a workspace: params, shards, captions and checkpoints."""
    set_params(root, FEW)
    (root / "tars").mkdir()
    write_shard(root / "tars", pair, IMAGES)
    (root / "checkpoints").mkdir()
    random_sam(root / "checkpoints" / "sam.pth")
    random_clip(root / "checkpoints" / "clip.pt", CLIP)
    random_clip(root / "checkpoints" / "coca.safetensors", COCA)
    masks = [annotation["id"] for annotation in pair.record["annotations"]]
    named = ((image, mask, PHRASES[(image + mask) % len(PHRASES)]) for image in range(1, IMAGES + 1) for mask in masks)
    rows = (json.dumps(dict(zip(("image_id", "mask_id", "text"), row, strict=True))) for row in named)
    (root / "captions.jsonl").write_text("\n".join(rows) + "\n")


def set_params(root: Path, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the preset's params with other values, section by section."""
    params = preset("sa1b").model_dump(mode="json")
    for section, values in changes.items():
        params[section] = params[section] | values
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def make(root: Path, stage: str) -> Row:
    """Run one stage."""
    took = arrcoc(root, "stage", stage)
    assert took.code == 0, (stage, took.said[-4000:])
    out = root / "data" / ("shards" if stage == "sa1b_shards" else stage)
    return Row(stage, took, sum(file.stat().st_size for file in out.rglob("*") if file.is_file()))


def arrcoc(root: Path, *words: str) -> Took:
    """Run a command of the workspace's own code."""
    return run(("arrcoc", *words), root, environment(root))


def environment(root: Path) -> dict[str, str]:
    """What its commands run in."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {
        "PYTHONPATH": str(root),
        "PATH": path,
        "DAGSTER_HOME": str(root / ".dagster"),
        "COLUMNS": "160",
    }
