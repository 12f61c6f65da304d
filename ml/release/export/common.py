"""What the variants of a release share: SAM's mask decoder, the captioner, how words are read, how masks are judged."""

import shutil
from pathlib import Path
from typing import Any

import open_clip.tokenizer

from ml.models.arrcoc import ARRCOC
from ml.models.weights import read_config
from ml.params import Params
from ml.release.export.captioner import export_captioner
from ml.release.export.english import write_tagger
from ml.release.export.mask_decoder import export_mask_decoder, mask_decoder_of
from ml.release.runtime.predictor import CONFIG
from ml.release.runtime.towers import CLIP, MERGES
from ml.workspace.atomic import write_json


def write_common(backbones: Path, checkpoint: Path, params: Params, out: Path) -> None:
    """Write the folder.

    Raises:
        UserError: a checkpoint is missing or broken, or the spaCy model can't be released.
    """
    out.mkdir(parents=True, exist_ok=True)
    model, sam, clip = ARRCOC.load(checkpoint), mask_decoder_of(backbones), read_config(backbones / CLIP)
    export_mask_decoder(sam, out)
    export_captioner(model, out)
    write_tagger(params.labels.language, out)
    shutil.copyfile(backbones / CLIP, out / CLIP)
    merges = backbones / clip["merges"] if clip["merges"] else open_clip.tokenizer.default_bpe()
    shutil.copyfile(merges, out / MERGES)
    write_json(out / CONFIG, _config(model, sam.image_size, params))


def _config(model: ARRCOC, image_size: int, params: Params) -> dict[str, Any]:
    words = {name: getattr(model.config, name) for name in ("start_id", "end_id", "context_length")}
    return {
        "evaluation": params.evaluation.model_dump(),
        "filter": params.filter.model_dump(),
        "crop_margin": params.labels.crop_margin,
        "image_size": image_size,
        **words,
    }
