"""Pretraining of toytown's SAM and CoCa, from scratch, by one command: `arrcoc pretrain-backbones`."""

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from open_clip import SimpleTokenizer
from segment_anything.modeling import Sam as SegmentAnything
from torch import nn

from ml.models.frozen.clip import load_clip, read_tokenizer
from ml.models.frozen.sam import load_sam
from ml.models.weights import sha256_of, write_weights
from ml.toytown.pretraining.coca import MEAN, STD, architecture, pretrain_coca
from ml.toytown.pretraining.data import Rendered, Scenes, render
from ml.toytown.pretraining.measure import HELD_BACK, held_back, measure
from ml.toytown.pretraining.merges import learn_merges, write_merges
from ml.toytown.pretraining.sam import CONFIG, pretrain_sam
from ml.workspace.atomic import atomic_path, write_json

WEIGHTS = Path(__file__).parents[1] / "weights"
MERGES = "clip_merges.txt.gz"
SPELLED = 300  # scenes whose English the vocabulary is learned from
MEASURED, TAUGHT = 60, 150  # held-back scenes: to measure on, and to teach linear readers of the features


def pretrain(out: Path, seed: int, scenes: int, sam_steps: int, coca_steps: int) -> None:
    """Train both models side by side, one core each; write `sam.*`, `clip.*` and `measured.json` into the folder `out`.

    Raises:
        UserError: the disk is full.
    """
    with TemporaryDirectory() as made, ProcessPoolExecutor(2, get_context("forkserver")) as pool:
        folder = Path(made)
        running = [
            pool.submit(_train_sam, folder, seed, scenes, sam_steps),
            pool.submit(_train_coca, folder, seed, scenes, coca_steps),
        ]
        for one in running:
            one.result()
        measured = _measure(folder, seed)
        write_json(folder / "measured.json", measured)
        for file in sorted(folder.iterdir()):
            with atomic_path(out / file.name) as tmp:
                shutil.copyfile(file, tmp)
    _log(json.dumps(measured, indent=1))


def _train_sam(folder: Path, seed: int, scenes: int, steps: int) -> None:
    torch.set_num_threads(1)
    save_sam(folder, pretrain_sam(Scenes(render(seed, scenes, workers=1)), seed, steps, _log))


def _train_coca(folder: Path, seed: int, scenes: int, steps: int) -> None:
    torch.set_num_threads(1)
    rendered = render(seed, scenes, workers=1)
    write_merges(folder / MERGES, learn_merges(_english(rendered[:SPELLED])))
    tokenizer = read_tokenizer(folder, MERGES)
    save_coca(folder, pretrain_coca(rendered, tokenizer, seed, steps, _log), tokenizer)


def _measure(folder: Path, seed: int) -> dict[str, dict[str, float]]:
    seen, taught = held_back(seed, MEASURED), held_back(seed, TAUGHT, HELD_BACK + MEASURED)
    unheard = held_back(seed, MEASURED, HELD_BACK + MEASURED + TAUGHT, holdout=True)
    return measure(load_sam(folder), load_clip(folder), seen, taught, unheard)


def _log(line: str) -> None:
    print(line, flush=True)


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
