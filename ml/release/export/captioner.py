"""The captioner as three graphs: what captions and answers are read from, and the next word of each."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from ml.models.arrcoc import ARRCOC
from ml.models.frozen.texts import REFERENTS, QueryFeatures
from ml.models.grounding import UPSCALE
from ml.release.export.towers import export
from ml.release.runtime.speech import ANSWER_MEMORY, IMAGE_MEMORY, NEXT_WORD


class ImageMemory(nn.Module):
    """Features `[1, C, h, w]` -> memory `[1, h * w, d]`."""

    def __init__(self, model: ARRCOC) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """What an image's caption is read from."""
        return self.model.image_memory(self.model.adapt(features))


class AnswerMemory(nn.Module):
    """What answers to Q questions are read from: memory `[Q, K, d]` and its mask."""

    def __init__(self, model: ARRCOC) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        features: Tensor,
        coverage: Tensor,
        boxes: Tensor,
        crops: Tensor,
        valid: Tensor,
        tokens: Tensor,
        text_mask: Tensor,
        referents: Tensor,
        grounding: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """As `ARRCOC.answer_memory`; grounding: logits `[1, Q, 4h, 4w]` of the questions."""
        grid = self.model.adapt(features)
        regions = self.model.regions(grid, coverage, boxes, crops, valid)
        text = QueryFeatures(tokens, tokens[:, :, 0], text_mask, referents)  # pooled is not read
        read = self.model.answer_memory(grid, regions, text, grounding)
        return read.memory, read.mask


class NextWord(nn.Module):
    """Memory `[M, K, d]`, its mask bool `[M, K]`, ids `[M, L]` -> logits of the next word `[M, V]`."""

    def __init__(self, model: ARRCOC) -> None:
        super().__init__()
        self.captioner = model.captioner

    def forward(self, memory: Tensor, memory_mask: Tensor, ids: Tensor) -> Tensor:
        """The logits behind the last of the ids."""
        return self.captioner(memory, ids, memory_mask)[:, -1]


def export_captioner(model: ARRCOC, out: Path) -> None:
    """Write the three graphs into a folder; any number of regions, questions and words."""
    model.eval()
    c, n, q = model.config, 5, 3
    features = {"features": torch.randn(1, c.sam_dim, c.grid, c.grid)}
    export(ImageMemory(model), features, ["memory"], out / IMAGE_MEMORY, {})
    example = {
        **features,
        "coverage": torch.rand(1, n, c.grid, c.grid),
        "boxes": torch.tensor([[[0.1, 0.2, 0.5, 0.6]] * n]),
        "crops": F.normalize(torch.randn(1, n, c.embed_dim), dim=-1),
        "valid": torch.ones(1, n, dtype=torch.bool),
        "tokens": torch.randn(1, q, c.context_length, c.text_dim),
        "text_mask": torch.ones(1, q, c.context_length, dtype=torch.bool),
        "referents": torch.randn(1, q, REFERENTS, c.embed_dim),
        "grounding": torch.randn(1, q, UPSCALE * c.grid, UPSCALE * c.grid),
    }
    regions, queries = Dim("regions"), Dim("queries")
    axes = {name: {1: regions} for name in ("coverage", "boxes", "crops", "valid")}
    axes |= {name: {1: queries} for name in ("tokens", "text_mask", "referents", "grounding")}
    export(AnswerMemory(model), example, ["memory", "memory_mask"], out / ANSWER_MEMORY, axes)
    _export_next_word(model, out)


def _export_next_word(model: ARRCOC, out: Path) -> None:
    memories, kept, words = Dim("memories"), Dim("kept"), Dim("words", max=model.config.context_length)
    example = {
        "memory": torch.randn(2, 7, model.config.dim),
        "memory_mask": torch.ones(2, 7, dtype=torch.bool),
        "ids": torch.ones(2, 3, dtype=torch.long),
    }
    axes = {"memory": {0: memories, 1: kept}, "memory_mask": {0: memories, 1: kept}, "ids": {0: memories, 1: words}}
    export(NextWord(model), example, ["logits"], out / NEXT_WORD, axes)
