"""ARR-COC: the trained part, from frozen features to relevance, grounding, captions and answers."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml.errors import UserError
from ml.models.adapter import Adapter
from ml.models.attention import grid_positions
from ml.models.captioner import Captioner
from ml.models.counting import Counter
from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import SamConfig
from ml.models.frozen.texts import QueryFeatures
from ml.models.grounding import UPSCALE, Grounding, GroundingHead
from ml.models.regions import RegionEncoder, Regions
from ml.models.relevance import Judgement, RelevanceHead
from ml.models.similarity import Similarity
from ml.models.weights import read_config, read_weights, write_weights
from ml.params import Labels, Model
from ml.workspace.atomic import atomic_dir

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the trained part, the token ids its captioner starts and ends with, how crops are seen and texts read.

    The frozen similarity is of crops with `crop_margin`; the cosine `similarity_midpoint` says that a region is what is
    named as often as not, `similarity_scale` above it is a logit. The spaCy model `language` reads queries.
    """

    sam_dim: int
    grid: int  # cells a side
    text_dim: int
    embed_dim: int
    vocab_size: int
    context_length: int
    start_id: int
    end_id: int
    dim: int
    heads: int
    grounding_layers: int
    relevance_layers: int
    captioner_layers: int
    dropout: float
    frozen_similarity: bool
    language: str
    crop_margin: float
    similarity_midpoint: float
    similarity_scale: float
    temperature: float = 0.07

    @classmethod
    def from_backbones(
        cls, model: Model, labels: Labels, sam: SamConfig, clip: Clip, temperature: float = 0.07
    ) -> Self:
        """The sizes that fit the backbones, and crops as the labels saw them.

        `temperature` is where the contrastive one starts.
        """
        return cls(
            sam_dim=sam.channels,
            grid=sam.grid,
            text_dim=clip.text_dim,
            embed_dim=clip.embed_dim,
            vocab_size=clip.vocab_size,
            context_length=clip.context_length,
            start_id=clip.start_id,
            end_id=clip.end_id,
            language=labels.language,
            crop_margin=labels.crop_margin,
            similarity_midpoint=labels.similarity_midpoint,
            similarity_scale=labels.similarity_scale,
            temperature=temperature,
            **model.model_dump(),
        )

    def to_json(self) -> str:
        """The text of `config.json`."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The config in a JSON file.

        Raises:
            UserError: missing, not JSON, or keys that this version does not know.
        """
        try:
            return cls(**read_config(path))
        except TypeError as error:
            raise UserError(f"{path}: config of another version ({error}); train the model again") from error


class AnswerMemory(NamedTuple):
    """What answers to Q questions an image are read from: memory `[B * Q, K, d]` and its mask; what was counted.

    `counts`: `[B, Q]`, how many regions are what a question names.
    """

    memory: Tensor
    mask: Tensor
    counts: Tensor


class ARRCOC(nn.Module):
    """Text-conditioned spatial relevance. `state_dict` holds the trained part only; the backbones stay outside.

    Sizes: B images, Q queries an image, N regions, T text tokens, an h x w grid of SAM features.
    """

    positions: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        text = {"text_dim": config.text_dim, "embed_dim": config.embed_dim, "dim": config.dim, "heads": config.heads}
        self.similarity = Similarity(config.similarity_midpoint, config.similarity_scale, config.frozen_similarity)
        self.adapter = Adapter(config.sam_dim, config.dim)
        self.region_encoder = RegionEncoder(config.dim)
        self.region_projection = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, config.embed_dim))
        # Of one dimension: DeepSpeed cannot broadcast a parameter without any.
        self.logit_scale = nn.Parameter(torch.tensor([math.log(1 / config.temperature)]))
        self.grounding_head = GroundingHead(
            **text, grid=config.grid, layers=config.grounding_layers, dropout=config.dropout
        )
        self.relevance_head = RelevanceHead(**text, layers=config.relevance_layers, dropout=config.dropout)
        self.captioner = Captioner(
            config.vocab_size,
            config.context_length,
            config.dim,
            config.heads,
            config.captioner_layers,
            config.dropout,
        )
        self.question = nn.Linear(config.text_dim, config.dim)
        self.counter = Counter(config.dim)
        self.register_buffer("positions", grid_positions(config.grid, config.grid, config.dim), persistent=False)

    def adapt(self, features: Tensor) -> Tensor:
        """Frozen SAM features `[B, C, h, w]` to the grid `[B, d, h, w]`."""
        return self.adapter(features)

    def regions(self, grid: Tensor, coverage: Tensor, boxes: Tensor, crops: Tensor, valid: Tensor) -> Regions:
        """Regions of a grid `[B, d, h, w]`, from the other parts of `Regions`."""
        return Regions(self.region_encoder(grid, coverage, boxes), boxes, coverage, crops, valid)

    def region_embeddings(self, regions: Tensor) -> Tensor:
        """Regions `[B, N, d]` in CLIP's space, `[B, N, e]`, L2-normalised."""
        return F.normalize(self.region_projection(regions), dim=-1)

    def ground(self, grid: Tensor, regions: Regions, text: QueryFeatures) -> Grounding:
        """Grounding logits, and what is pointed to on the way; text features have leading dimensions `[B, Q]`."""
        return self.grounding_head(grid, text, self.similarity.shown(regions, text.referents))

    def relevance(self, grid: Tensor, regions: Regions, text: QueryFeatures, grounding: Tensor) -> Judgement:
        """Logits of relevance and of what is pointed to; grounding: logits of pixels `[B, Q, 4h, 4w]`."""
        similar = self.similarity(regions.crops, text.referents)
        return self.relevance_head(grid, regions, text, grounding, similar)

    def image_memory(self, grid: Tensor) -> Tensor:
        """What an image's caption is read from: `[B, h * w, d]`."""
        return grid.flatten(2).transpose(1, 2) + self.positions

    def region_memory(self, regions: Tensor) -> Tensor:
        """What each region's caption is read from: regions `[B, N, d]` -> `[B * N, 1, d]`."""
        return regions.flatten(0, 1).unsqueeze(1)

    def answer_memory(self, grid: Tensor, regions: Regions, text: QueryFeatures, evidence: Tensor) -> AnswerMemory:
        """What answers are read from: memory `[B * Q, 1 + N + T, d]`, its mask, and what was counted.

        The first token is the grid under the evidence (grounding logits `[B, Q, 4h, 4w]` of the question): the answer
        looks where the model points. Added to it is how many regions are what the question names, by the frozen
        similarity of its name and their crops: as a token of its own it is found by some seeds of training, not by
        others. The regions and the question follow.
        """
        queries = text.tokens.shape[1]
        similar = self.similarity(regions.crops, text.referents)[..., 0]
        counted = self.counter(regions.features, similar, regions.valid)
        own = (self.pointed_at(grid, evidence) + counted.tokens).unsqueeze(2)
        shared = regions.features.unsqueeze(1).expand(-1, queries, -1, -1)
        memory = torch.cat([own, shared, self.question(text.tokens)], dim=2)
        always = torch.ones_like(own[..., 0], dtype=torch.bool)
        mask = torch.cat([always, regions.valid.unsqueeze(1).expand(-1, queries, -1), text.mask], dim=2)
        return AnswerMemory(memory.flatten(0, 1), mask.flatten(0, 1), counted.counts)

    def pointed_at(self, grid: Tensor, grounding: Tensor) -> Tensor:
        """Mean of the grid `[B, d, h, w]` under the probability of grounding logits: `[B, Q, d]`."""
        weights = F.avg_pool2d(torch.sigmoid(grounding), UPSCALE).flatten(2)
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)
        return weights @ grid.flatten(2).transpose(1, 2)

    def caption(self, memory: Tensor, ids: Tensor, memory_mask: Tensor | None = None) -> Tensor:
        """Next-token logits `[M, L, V]` for ids `[M, L]` over memory `[M, K, d]` (mask bool `[M, K]`)."""
        return self.captioner(memory, ids, memory_mask)

    def generate(self, memory: Tensor, max_len: int, memory_mask: Tensor | None = None) -> Tensor:
        """Greedy ids `[M, L]`, L at most `max_len` or the context length, start token first."""
        length = min(max_len, self.config.context_length)
        return self.captioner.generate(memory, self.config.start_id, self.config.end_id, length, memory_mask)

    def forward(
        self,
        features: Tensor,
        coverage: Tensor,
        boxes: Tensor,
        crops: Tensor,
        valid: Tensor,
        tokens: Tensor,
        text_mask: Tensor,
        pooled: Tensor,
        referents: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Inference as it is exported: relevance `[B, Q, N]` in [0, 1] and grounding logits `[B, Q, 4h, 4w]`.

        features `[B, C, h, w]`, coverage `[B, N, h, w]`, boxes `[B, N, 4]` xyxy in [0, 1] of the frame, crops
        `[B, N, e]`, valid bool `[B, N]`, tokens `[B, Q, T, text_dim]`, text_mask bool `[B, Q, T]`, pooled `[B, Q, e]`,
        referents `[B, Q, REFERENTS, e]`.
        """
        text = QueryFeatures(tokens, pooled, text_mask, referents)
        grid = self.adapt(features)
        regions = self.regions(grid, coverage, boxes, crops, valid)
        grounding = self.ground(grid, regions, text).pixels
        judged = self.relevance(grid, regions, text, grounding)
        return torch.sigmoid(judged.relevance), grounding

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `config.json` as a folder of their own, whole or not at all."""
        with atomic_dir(folder) as tmp:
            write_weights(tmp / WEIGHTS, self)
            (tmp / CONFIG).write_text(self.config.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            UserError: a file is missing or broken, or the weights are of another model or not finite.
        """
        model = cls(ModelConfig.read(folder / CONFIG))
        read_weights(folder / WEIGHTS, model)
        return model
