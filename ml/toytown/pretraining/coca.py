"""Pretraining of toytown's CoCa: contrast of masked crops with phrases, captions, and queries as plain text.

Every phrase of a batch is held against every crop of the batch, and whether it fits is known from what it says: "car"
fits all cars, "red car" the red ones. So equal captions are no false negatives, and the cosine itself becomes a
measure: the sigmoid loss puts its zero at `MIDPOINT`, with `SCALE` a logit. Queries are read for the next word, so
that words no crop can show ("left of", "largest") get token features of their own. Some crops are shown without their
colours, which no phrase then tells: a kind must be known by its shape, or "ball" does not fit a ball of a colour that
no ball ever had.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import CoCa, SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ml.models.frozen.architecture import build_clip
from ml.models.frozen.clip import read_text
from ml.toytown.pretraining.data import LEVELS, Rendered
from ml.toytown.pretraining.sam import warmup_cosine
from ml.toytown.pretraining.text import Concept, fits, phrase

CONTEXT = 32
ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": 48, "patch_size": 8, "width": 128, "head_width": 32, "layers": 4,
        "pool_type": "avg", "output_tokens": True,
    },
    "text_cfg": {"context_length": CONTEXT, "width": 128, "heads": 4, "layers": 2, "output_tokens": True},
    "multimodal_cfg": {"context_length": CONTEXT, "width": 128, "heads": 4, "layers": 2},
}  # fmt: skip
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
MIDPOINT, SCALE = 0.5, 0.07  # cosine of relevance 0.5, and cosine a logit
LR, WEIGHT_DECAY, WARMUP = 1.5e-3, 0.05, 80
BATCH, QUERIES = 128, 32  # crops and queries a step
SHARES = {"part": 0.32, "object": 0.38, "group": 0.12, "scene": 0.1, "image": 0.08}  # of a batch
SHIFT = 2  # pixels that a crop is moved by at most
COLOURLESS = 0.25  # of the crops of regions
SWAPPED = 0.5  # of those, shown in other colours in the place of none
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


class Crops:
    """All crops of the scenes with their captions, drawn by level."""

    def __init__(self, rendered: list[Rendered], tokenizer: SimpleTokenizer) -> None:
        self.pixels = torch.from_numpy(np.concatenate([one.crops for one in rendered]))
        self.captions = [text for one in rendered for text in one.captions]
        self.texts = [text for one in rendered for text in one.texts]
        nothing: Concept = ("image", "", "", "", 0)
        self.concepts = [said for one in rendered for said in (*one.concepts, nothing)]
        levels = np.array([said[0] for said in self.concepts])
        self._of_level = {level: np.flatnonzero(levels == level) for level in (*LEVELS, "image")}
        self._tokens: dict[str, list[int]] = {}
        self._tokenizer = tokenizer

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Indices of `count` crops, by `SHARES`."""
        levels = rng.choice(list(SHARES), size=count, p=list(SHARES.values()))
        return np.array([rng.choice(self._of_level[level]) for level in levels])

    def tokens(self, texts: list[str]) -> Tensor:
        """Ids `[B, T]`, T that of the longest text, rounded up."""
        rows = [self._ids(text) for text in texts]
        length = -(-max(map(len, rows)) // 8) * 8  # few shapes: each is compiled once
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        for row, known in zip(ids, rows, strict=True):
            row[: len(known)] = torch.tensor(known)
        return ids

    def _ids(self, text: str) -> list[int]:
        if text not in self._tokens:
            start, end = self._tokenizer.sot_token_id, self._tokenizer.eot_token_id
            self._tokens[text] = [start, *self._tokenizer.encode(text)[: CONTEXT - 2], end]
        return self._tokens[text]


def pretrain_coca(
    rendered: list[Rendered], tokenizer: SimpleTokenizer, seed: int, steps: int, log: Callable[[str], None]
) -> CoCa:
    """Train the tiny CoCa from scratch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    crops, model = Crops(rendered, tokenizer), initial_coca(tokenizer)
    reader = nn.Linear(model.text.width, tokenizer.vocab_size)
    parameters = [*model.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(parameters, LR, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, WARMUP))
    for step in range(steps):
        losses = step_losses(model, reader, crops, rng)
        optimizer.zero_grad()
        torch.stack([*losses.values()]).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 25 == 0 or step == steps - 1:
            log(f"coca step {step} " + " ".join(f"{name} {loss.item():.4f}" for name, loss in losses.items()))
    return model


def architecture(tokenizer: SimpleTokenizer) -> dict[str, Any]:
    """`ARCHITECTURE` with the vocabulary's size filled in."""
    sized = {"vocab_size": tokenizer.vocab_size}
    return {
        **ARCHITECTURE,
        "text_cfg": {**ARCHITECTURE["text_cfg"], **sized},
        "multimodal_cfg": {**ARCHITECTURE["multimodal_cfg"], **sized},
    }


def initial_coca(tokenizer: SimpleTokenizer) -> CoCa:
    """An untrained CoCa. open_clip leaves the decoder's output projection uninitialised."""
    model: Any = build_clip(architecture(tokenizer))
    nn.init.normal_(model.text_decoder.text_projection, std=model.text.width**-0.5)
    return model


def step_losses(model: CoCa, reader: nn.Linear, crops: Crops, rng: np.random.Generator) -> dict[str, Tensor]:
    """Losses of one random batch: `contrast`, `fit` (sigmoid), `caption` and `query` (next word)."""
    chosen = crops.draw(BATCH, rng)
    grey = (rng.random(BATCH) < COLOURLESS) & np.array([crops.concepts[i][0] != "image" for i in chosen])
    shown = [colourless(crops.concepts[i]) if bare else crops.concepts[i] for i, bare in zip(chosen, grey, strict=True)]
    pairs = [phrase(region, rng) for region in shown if region[0] != "image"]
    texts, said = zip(*pairs, strict=True)
    queries = crops.tokens([str(text) for text in rng.choice(crops.texts, QUERIES)])
    captions = crops.tokens(["" if bare else crops.captions[i] for i, bare in zip(chosen, grey, strict=True)])
    captions[grey] = 0  # padding: a caption tells the colour
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):  # flash is slower on 37 tokens
        embedding, image_tokens = model.visual(augmented(crops.pixels[chosen], shown, grey, rng))
        words = read_text(model.text, crops.tokens(list(texts)))[0]
        logits = model.text_decoder(image_tokens, read_text(model.text, captions[:, :-1])[1])
        read = reader(read_text(model.text, queries[:, :-1])[1])
    cosine = F.normalize(words.float(), dim=-1) @ F.normalize(embedding.float(), dim=-1).T
    fit = torch.from_numpy(fits(said, shown)).float()
    return {
        "contrast": contrast(cosine * model.logit_scale.exp().clamp(max=50), fit),
        "fit": F.binary_cross_entropy_with_logits((cosine - MIDPOINT) / SCALE, fit, reduction="sum") / len(said) / 2,
        "caption": next_word(logits, captions),
        "query": 0.25 * next_word(read, queries),
    }


def contrast(logits: Tensor, fit: Tensor) -> Tensor:
    """Symmetric cross entropy of `[P, R]` logits against all that fits, in equal shares."""
    columns = fit.any(0)
    rows = F.cross_entropy(logits, fit / fit.sum(1, keepdim=True))
    return (rows + F.cross_entropy(logits.T[columns], (fit / fit.sum(0).clamp(min=1)).T[columns])) / 2


def next_word(logits: Tensor, ids: Tensor) -> Tensor:
    """Cross entropy of `[B, T - 1, V]` logits against the ids that follow, padding left out."""
    return F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)


def colourless(region: Concept) -> Concept:
    """What is left to say of a region without its colours."""
    level, noun, _, whole, count = region
    return level, noun, "", whole, count


def augmented(pixels: Tensor, shown: list[Concept], grey: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
    """Crops uint8 to normalised float32, regions mirrored by chance and all moved by the same few pixels.

    `grey`: bool [B], those that lose their colours.

    Whole images keep their sides, for their captions speak of left and right.
    """
    flips = torch.tensor([rng.random() < 0.5 and region[0] != "image" for region in shown])
    pixels = torch.where(flips[:, None, None, None], pixels.flip(-1), pixels).float()
    luma = (pixels * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True).expand_as(pixels)
    swapped = torch.from_numpy(rng.random(len(pixels)) < SWAPPED)[:, None, None, None]
    bare = torch.where(swapped, pixels[:, rng.permutation(3)], luma)
    pixels = torch.where(torch.from_numpy(grey)[:, None, None, None], bare, pixels)
    down, right = rng.integers(0, 2 * SHIFT + 1, 2)
    side = pixels.shape[-1]
    moved = F.pad(pixels, (SHIFT,) * 4, mode="replicate")[..., down : down + side, right : right + side]
    return (moved / 255 - MEAN[0]) / STD[0]
