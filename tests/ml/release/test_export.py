"""The graphs answer as PyTorch does, for other numbers of masks and queries than they were exported with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from ml.models.arrcoc import ARRCOC
from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import Sam
from ml.models.frozen.texts import TextBank
from ml.release.export import CROP_ENCODER, HEADS, with_weights
from ml.release.prune import prune, sparsity_of
from ml.release.runtime import OnnxCropEncoder, OnnxHeads, onnx_sam

TEXTS = ["the red car left of the house", "sky"]  # one with an anchor, one without


def inputs(model: ARRCOC, regions: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(regions)
    grid, corner = model.config.grid, torch.rand(1, regions, 2) / 2
    return {
        "features": torch.randn(1, model.config.sam_dim, grid, grid),
        "coverage": torch.rand(1, regions, grid, grid),
        "boxes": torch.cat([corner, corner + 0.3], dim=-1),
        "crops": normalize(torch.randn(1, regions, model.config.embed_dim), dim=-1),
        "valid": torch.ones(1, regions, dtype=torch.bool),
    }


def answers(model: ARRCOC, clip: Clip, given: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    text = TextBank(clip, torch.device("cpu")).queries([TEXTS])
    with torch.no_grad():
        return model(**given, tokens=text.tokens, text_mask=text.mask, pooled=text.pooled, referents=text.referents)


@pytest.mark.parametrize("regions", [1, 9])
def test_the_heads_answer_as_in_pytorch(variants: Path, model: ARRCOC, clip: Clip, regions: int) -> None:
    given = inputs(model, regions)
    found = OnnxHeads.load(variants / "fp32", clip.tokenize).heads(**given, texts=TEXTS)
    for ours, wanted in zip(found, answers(model, clip, given), strict=True):
        torch.testing.assert_close(ours, wanted, atol=2e-4, rtol=1e-3)


def test_crops_reach_the_graph(variants: Path, clip: Clip, model: ARRCOC) -> None:
    heads, given = OnnxHeads.load(variants / "fp32", clip.tokenize), inputs(model, 5)
    relevance = heads.heads(**given, texts=TEXTS)[0]
    other = heads.heads(**given | {"crops": given["crops"].flip(1)}, texts=TEXTS)[0]
    assert (other - relevance).abs().max() > 1e-3


def test_the_crop_encoder_gives_the_frozen_embeddings(variants: Path, clip: Clip) -> None:
    encoder = OnnxCropEncoder(variants / "fp32" / CROP_ENCODER, clip.eye)
    for count in (1, 7):  # it was exported with three
        crops = torch.randint(0, 256, (count, 3, clip.eye.size, clip.eye.size), dtype=torch.uint8)
        torch.testing.assert_close(encoder.encode_image(crops), clip.encode_image(crops), atol=1e-5, rtol=0)


def test_the_image_encoder_gives_the_frozen_features(variants: Path, sam: Sam) -> None:
    images = torch.randint(0, 256, (2, 4, sam.image_size, sam.image_size), dtype=torch.uint8)
    images[:, 3] %= 2
    found = onnx_sam(sam, variants / "fp32").encode(images)
    torch.testing.assert_close(found, sam.encode(images), atol=2e-3, rtol=1e-3)


def test_a_pruned_graph_is_the_same_graph_with_the_pruned_weights(
    variants: Path, model: ARRCOC, clip: Clip, tmp_path: Path
) -> None:
    pruned, given = prune(model, 0.5, structured=False), inputs(model, 4)
    with_weights(variants / "fp32" / HEADS, pruned, tmp_path / HEADS)
    heads = OnnxHeads(variants / "fp32" / "text_encoder.onnx", tmp_path / HEADS, clip.tokenize)
    found = heads.heads(**given, texts=TEXTS)
    assert sparsity_of(pruned) > 0.4
    for ours, wanted in zip(found, answers(pruned, clip, given), strict=True):
        torch.testing.assert_close(ours, wanted, atol=2e-4, rtol=1e-3)
    assert np.abs(found[0].numpy() - answers(model, clip, given)[0].numpy()).max() > 1e-3  # weights really changed


def test_graphs_hold_no_path_of_this_machine_and_no_notes_of_the_exporter(variants: Path) -> None:
    here = str(Path(__file__).parents[3]).encode()
    graphs = sorted(variants.glob("*/*.onnx"))
    assert len(graphs) == 12
    for graph in graphs:
        found = graph.read_bytes()
        assert here not in found and b"stack_trace" not in found and b"site-packages" not in found, graph
