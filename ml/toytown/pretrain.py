"""Pretraining of toytown's SAM and CoCa, from scratch, by one command: `arrcoc pretrain-backbones`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from open_clip import SimpleTokenizer
from segment_anything.modeling import Sam as SegmentAnything
from torch import nn

from ml.atomic import atomic_path, write_json
from ml.models.clip import load_clip, read_tokenizer
from ml.models.sam import load_sam
from ml.models.weights import sha256_of, write_weights
from ml.toytown.measure import HELD_BACK, held_back, measure
from ml.toytown.merges import learn_merges, write_merges
from ml.toytown.pretrain_coca import MEAN, STD, architecture, pretrain_coca
from ml.toytown.pretrain_data import Rendered, Scenes, render
from ml.toytown.pretrain_sam import CONFIG, pretrain_sam

WEIGHTS = Path(__file__).parent / "weights"
MERGES = "clip_merges.txt.gz"
SPELLED = 300  # scenes whose English the vocabulary is learned from
MEASURED, TAUGHT = 60, 150  # held-back scenes: to measure on, and to teach linear readers of the features

Log = Callable[[str], None]


def pretrain(
    out: Path, seed: int, scenes: int, sam_steps: int, coca_steps: int, threads: int, log: Log = print
) -> None:
    """Render the scenes, train both models and write `sam.*`, `clip.*` and `measured.json` into the folder `out`.

    Raises:
        UserError: the disk is full.
    """
    torch.set_num_threads(threads)
    log(f"rendering {scenes} scenes")
    rendered = render(seed, scenes, workers=threads)
    with TemporaryDirectory() as made:
        folder = Path(made)
        write_merges(folder / MERGES, learn_merges(_english(rendered[:SPELLED])))
        tokenizer = read_tokenizer(folder, MERGES)
        save_coca(folder, pretrain_coca(rendered, tokenizer, seed, coca_steps, log), tokenizer)
        save_sam(folder, pretrain_sam(Scenes(rendered), seed, sam_steps, log))
        measured = measure(
            load_sam(folder),
            load_clip(folder),
            held_back(seed, MEASURED),
            held_back(seed, TAUGHT, HELD_BACK + MEASURED),
        )
        write_json(folder / "measured.json", measured)
        for file in sorted(folder.iterdir()):
            with atomic_path(out / file.name) as tmp:
                shutil.copyfile(file, tmp)
    log(json.dumps(measured, indent=1))


def save_sam(folder: Path, model: SegmentAnything) -> None:
    """Write `sam.safetensors` in half precision and `sam.json`."""
    sha256 = write_weights(folder / "sam.safetensors", model, torch.float16)
    write_json(folder / "sam.json", {**CONFIG.to_json(), "sha256": sha256})


def save_coca(folder: Path, model: nn.Module, tokenizer: SimpleTokenizer) -> None:
    """Write `clip.safetensors` in half precision and `clip.json`; the merges file is there already."""
    config = {
        "architecture": architecture(tokenizer),
        "merges": MERGES,
        "merges_sha256": sha256_of(folder / MERGES),
        "mean": MEAN,
        "std": STD,
        "sha256": write_weights(folder / "clip.safetensors", model, torch.float16),
    }
    write_json(folder / "clip.json", config)


def _english(rendered: list[Rendered]) -> list[str]:
    return [text for one in rendered for text in (*one.captions, *one.texts)]
