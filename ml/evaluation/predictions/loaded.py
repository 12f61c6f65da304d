"""The models that answer, loaded once a process: a pool's worker does many tasks with them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

from ml.compute.device import accelerator
from ml.evaluation.predictions.baselines import Baselines
from ml.evaluation.predictions.predictor import Crops, Predictor, TorchHeads
from ml.evaluation.predictions.speech import Speaker
from ml.models.arrcoc import ARRCOC
from ml.models.frozen.clip import load_clip
from ml.models.frozen.sam import load_sam
from ml.params import Evaluation, Filter


@dataclass(frozen=True)
class Sources:
    """Where the models lie, and how they are asked.

    Attributes:
        backbones, checkpoint: folders of the stage `backbones` and of a training stage.
        hierarchy: how masks get their levels.
        stamps: when each folder was written; they tell a process that holds models of one that was written anew.
    """

    backbones: Path
    checkpoint: Path
    params: Evaluation
    hierarchy: Filter
    stamps: tuple[int, int]

    @classmethod
    def of(cls, backbones: Path, checkpoint: Path, params: Evaluation, hierarchy: Filter) -> Self:
        """The folders as they are now."""
        return cls(backbones, checkpoint, params, hierarchy, (stamp(backbones), stamp(checkpoint)))


@dataclass(frozen=True)
class Models:
    """Whoever answers: in boxes and masks, in words, and without any training."""

    predictor: Predictor
    speaker: Speaker
    baselines: Baselines


@lru_cache(maxsize=1)
def models(sources: Sources) -> Models:
    """The models of a folder of backbones and one of a checkpoint, on a GPU where there is one.

    Raises:
        UserError: weights are missing or broken.
    """
    device = accelerator()
    clip, sam = load_clip(sources.backbones).to(device), load_sam(sources.backbones).to(device)
    model = ARRCOC.load(sources.checkpoint).to(device)
    crops, heads = Crops(clip, model.config.crop_margin), TorchHeads(model, clip)
    predictor = Predictor(sam, crops, heads, sources.params)
    return Models(predictor, Speaker(heads, sam.image_size), Baselines(heads, sources.hierarchy))


def stamp(folder: Path) -> int:
    """When the youngest file of a folder was written; 0 without any."""
    return max((file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()), default=0)
