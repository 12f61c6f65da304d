"""A small model and a batch for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ml.labeling.language.english import SMALL
from ml.models.arrcoc import ARRCOC, ModelConfig
from ml.models.frozen.texts import REFERENTS, QueryFeatures
from ml.models.regions import Regions


@dataclass(frozen=True)
class Inputs:
    """What `ARRCOC.forward` takes, by name."""

    features: Tensor
    coverage: Tensor
    boxes: Tensor
    crops: Tensor
    valid: Tensor
    tokens: Tensor
    text_mask: Tensor
    pooled: Tensor
    referents: Tensor

    @property
    def text(self) -> QueryFeatures:
        return QueryFeatures(self.tokens, self.pooled, self.text_mask, self.referents)

    def regions(self, model: ARRCOC) -> Regions:
        return model.regions(model.adapt(self.features), self.coverage, self.boxes, self.crops, self.valid)

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(vars(self).values())

    def but(self, **changes: Tensor) -> "Inputs":
        return replace(self, **changes)


def make_inputs(config: ModelConfig, batch: int = 2, queries: int = 3, regions: int = 6, words: int = 5) -> Inputs:
    low = torch.rand(batch, regions, 2) * 0.5
    boxes = torch.cat([low, low + 0.1 + torch.rand(batch, regions, 2) * 0.4], dim=-1)
    sizes = torch.randint(2, words + 1, (batch, queries, 1))
    counts = torch.randint(2, regions + 1, (batch, 1))
    referents = normalize(torch.randn(batch, queries, REFERENTS, config.embed_dim), dim=-1)
    referents[:, 0, 1] = 0  # the first query leans on nothing
    return Inputs(
        features=torch.randn(batch, config.sam_dim, config.grid, config.grid),
        coverage=torch.rand(batch, regions, config.grid, config.grid).clamp_min(0.5) - 0.5,
        boxes=boxes,
        crops=normalize(torch.randn(batch, regions, config.embed_dim), dim=-1),
        valid=torch.arange(regions) < counts,
        tokens=torch.randn(batch, queries, words, config.text_dim),
        text_mask=torch.arange(words) < sizes,
        pooled=normalize(torch.randn(batch, queries, config.embed_dim), dim=-1),
        referents=referents,
    )


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def config() -> ModelConfig:
    return ModelConfig(
        sam_dim=12,
        grid=8,
        text_dim=10,
        embed_dim=6,
        vocab_size=20,
        context_length=8,
        start_id=1,
        end_id=2,
        dim=32,
        heads=4,
        grounding_layers=2,
        relevance_layers=2,
        captioner_layers=2,
        dropout=0.0,
        frozen_similarity=True,
        language=SMALL,
        crop_margin=0.25,
        similarity_midpoint=0.2,
        similarity_scale=0.4,
    )


@pytest.fixture
def untrained(config: ModelConfig) -> ARRCOC:
    return ARRCOC(config).eval()


@pytest.fixture
def build() -> Callable[[ModelConfig], ARRCOC]:
    """Models as after some training: the last layers of the relevance head start as zeros and hide those below."""

    def make(config: ModelConfig) -> ARRCOC:
        model = ARRCOC(config).eval()
        for layers in (model.relevance_head.score, model.relevance_head.trust):
            torch.nn.init.normal_(layers[-1].weight, std=0.5)
        return model

    return make


@pytest.fixture
def model(build: Callable[[ModelConfig], ARRCOC], config: ModelConfig) -> ARRCOC:
    return build(config)


@pytest.fixture
def inputs(config: ModelConfig) -> Inputs:
    return make_inputs(config)
