"""A released package, as a run would write it, in seconds: the shipped backbones under an untrained model."""

import shutil
from pathlib import Path

import torch

from ml.models.arrcoc import ARRCOC, ModelConfig
from ml.models.frozen.clip import load_clip
from ml.models.frozen.sam import load_sam
from ml.params import Model
from ml.release.export.common import write_common
from ml.release.export.towers import HEADS, export_heads
from ml.release.shrink.compress import write_towers
from ml.release.variants import COMMON
from ml.toytown.pretraining.pretrain import WEIGHTS
from ml.workspace.settings import preset


def write_package(out: Path) -> Path:
    """Write it into a folder that is there; its own folder below that."""
    torch.manual_seed(0)
    params = preset("toytown")
    layers = {"grounding_layers": 1, "relevance_layers": 1, "captioner_layers": 1}
    sizes = Model(dim=32, heads=2, **layers, dropout=0.0, frozen_similarity=True)
    model = ARRCOC(ModelConfig.from_backbones(sizes, params.labels, load_sam(WEIGHTS), load_clip(WEIGHTS)))
    model.save(out / "checkpoint")
    write_towers(WEIGHTS, out)
    export_heads(model, out / "fp32" / HEADS)
    write_common(WEIGHTS, out / "checkpoint", params, out / COMMON)
    for folder in (COMMON, "fp32"):
        shutil.copytree(out / folder, out / "released" / "package", dirs_exist_ok=True)
    return out / "released" / "package"
