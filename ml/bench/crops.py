"""What the frozen similarity costs at test time: a masked crop a proposal through CLIP's image tower."""

from typing import Any

import numpy as np
import open_clip
import torch

from ml.bench.measure import Row, result, seconds, times
from ml.evaluation.predictions.predictor import Crops
from ml.labeling.geometry.eye import Eye
from ml.masks import Masks
from ml.models.frozen.architecture import build_clip
from ml.models.frozen.backbones import TOYTOWN
from ml.models.frozen.clip import Clip, load_clip
from ml.models.frozen.sam import Sam, SamConfig, build_sam, load_sam
from ml.workspace.settings import preset

MASKS = 64  # proposals of an image, the most that toytown's preset takes
CLIP, SAM = "ViT-B-32", "vit_b"  # with random weights: they take as long as trained ones


def bench() -> dict[str, Any]:
    """Measure with toytown's models, and with those of real size that are the smallest."""
    eye = Eye(224, "bicubic", "shortest")
    clip = Clip(build_clip(open_clip.get_model_config(CLIP)), open_clip.SimpleTokenizer(), [0.5] * 3, [0.5] * 3, eye)
    config = SamConfig(SAM)
    town = _row("toytown", load_clip(TOYTOWN), load_sam(TOYTOWN))
    return result("crops", [town, _row(CLIP, clip, Sam(build_sam(config), config))])


def _row(name: str, clip: Clip, sam: Sam) -> Row:
    """Crops cut and embedded, against SAM's encoder on the same image."""
    side = sam.image_size
    image = np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.uint8)
    frame = torch.from_numpy(sam.to_frame(image))[None]
    crops, masks = Crops(clip, preset("toytown").labels.crop_margin), _squares(side)
    ours = seconds(lambda: crops.embed(image, masks), repeats=1)
    peer = seconds(lambda: sam.encode(frame), repeats=1)
    return times(f"{name}: {MASKS} crops", 1000 * ours, 1000 * peer, f"SAM {sam.config.model_type}'s encoder", "ms")


def _squares(side: int) -> Masks:
    """Squares of an eighth of the image, all over it."""
    step = side // 8
    dense = np.zeros((MASKS, side, side), bool)
    for i in range(MASKS):
        y, x = divmod(i, 8)
        dense[i, y * step : (y + 1) * step, x * step : (x + 1) * step] = True
    return Masks.from_dense(dense)
