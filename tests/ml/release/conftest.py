"""The shipped backbones under an untrained model, exported once."""

from pathlib import Path

import pytest
import torch

from ml.models.arrcoc import ARRCOC, ModelConfig
from ml.models.frozen.clip import Clip, load_clip
from ml.models.frozen.sam import Sam, load_sam
from ml.params import Model
from ml.release.export.common import write_common
from ml.release.export.towers import HEADS, export_heads
from ml.release.shrink.compress import shrink_heads, write_towers
from ml.release.variants import COMMON
from ml.toytown.pretraining.pretrain import WEIGHTS
from ml.workspace.settings import preset


@pytest.fixture(scope="session")
def sam() -> Sam:
    return load_sam(WEIGHTS)


@pytest.fixture(scope="session")
def clip() -> Clip:
    return load_clip(WEIGHTS)


@pytest.fixture(scope="session")
def model(sam: Sam, clip: Clip) -> ARRCOC:
    torch.manual_seed(0)
    layers = {"grounding_layers": 1, "relevance_layers": 1, "captioner_layers": 1}
    sizes = Model(dim=32, heads=2, **layers, dropout=0.0, frozen_similarity=True)
    model = ARRCOC(ModelConfig.from_backbones(sizes, preset("toytown").labels, sam, clip)).eval()
    for last in (model.relevance_head.score[-1], model.relevance_head.trust[-1]):  # zeros, until they are trained
        torch.nn.init.normal_(last.weight, std=0.3)
    return model


@pytest.fixture(scope="session")
def variants(model: ARRCOC, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders fp32, pruned and int8, and common, which is what they share."""
    out = tmp_path_factory.mktemp("variants")
    model.save(out.with_name("checkpoint"))
    write_common(WEIGHTS, out.with_name("checkpoint"), preset("toytown"), out / COMMON)
    write_towers(WEIGHTS, out)
    export_heads(model, out / "fp32" / HEADS)
    shrink_heads(model, preset("toytown").compression, out)
    return out
