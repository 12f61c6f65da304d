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
from ml.release.export.towers import with_weights
from ml.release.runtime.sessions import Graph
from ml.release.runtime.towers import CROP_ENCODER, HEADS, IMAGE_ENCODER, TEXT_ENCODER, Reader
from ml.release.shrink.prune import prune, sparsity_of
from ml.release.variants import COMMON

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


@pytest.fixture
def read(variants: Path) -> dict[str, torch.Tensor]:
    texts = Reader(variants / COMMON, Graph(variants / "fp32" / TEXT_ENCODER)).read(TEXTS)
    return {name: torch.from_numpy(np.array(value)) for name, value in texts._asdict().items()}


def answers(model: ARRCOC, given: dict[str, torch.Tensor]) -> list[np.ndarray]:
    with torch.no_grad():
        return [part.numpy() for part in model(**given)]


def asked(graph: Path, given: dict[str, torch.Tensor]) -> list[np.ndarray]:
    return Graph(graph)(**{name: value.numpy() for name, value in given.items()})


@pytest.mark.parametrize("regions", [1, 9])
def test_the_heads_answer_as_in_pytorch(
    variants: Path, model: ARRCOC, read: dict[str, torch.Tensor], regions: int
) -> None:
    given = inputs(model, regions) | read
    for ours, wanted in zip(asked(variants / "fp32" / HEADS, given), answers(model, given), strict=True):
        np.testing.assert_allclose(ours, wanted, atol=2e-4, rtol=1e-3)


def test_texts_are_read_as_in_pytorch(read: dict[str, torch.Tensor], clip: Clip) -> None:
    text = TextBank(clip, torch.device("cpu")).queries([TEXTS])
    length = text.tokens.shape[2]  # of the longest; the rest is padding
    there = text.mask[..., None]
    torch.testing.assert_close(read["tokens"][:, :, :length] * there, text.tokens * there, atol=1e-4, rtol=0)
    assert torch.equal(read["text_mask"][:, :, :length], text.mask) and not read["text_mask"][:, :, length:].any()
    torch.testing.assert_close(read["pooled"], text.pooled, atol=1e-4, rtol=0)
    torch.testing.assert_close(read["referents"], text.referents, atol=1e-4, rtol=0)


def test_crops_reach_the_graph(variants: Path, read: dict[str, torch.Tensor], model: ARRCOC) -> None:
    given, graph = inputs(model, 5) | read, variants / "fp32" / HEADS
    named = given["referents"][:, :1, 0]  # a crop that is just what the first text names
    other = given | {"crops": torch.cat([named, given["crops"][:, 1:]], dim=1)}
    for before, after in zip(asked(graph, given), asked(graph, other), strict=True):  # both heads read them
        assert np.abs(after - before)[:, 0].max() > 1e-2


def test_the_crop_encoder_gives_the_frozen_embeddings(variants: Path, clip: Clip) -> None:
    for count in (1, 7):  # it was exported with three
        crops = torch.randint(0, 256, (count, 3, clip.eye.size, clip.eye.size), dtype=torch.uint8)
        (found,) = asked(variants / "fp32" / CROP_ENCODER, {"crops": crops})
        np.testing.assert_allclose(found, clip.encode_image(crops).numpy(), atol=1e-5)


def test_the_image_encoder_gives_the_frozen_features(variants: Path, sam: Sam) -> None:
    images = torch.randint(0, 256, (1, 4, sam.image_size, sam.image_size), dtype=torch.uint8)
    images[:, 3] %= 2
    (found,) = asked(variants / "fp32" / IMAGE_ENCODER, {"images": images})
    np.testing.assert_allclose(found, sam.encode(images).numpy(), atol=2e-3, rtol=1e-3)


def test_a_pruned_graph_is_the_same_graph_with_the_pruned_weights(
    variants: Path, model: ARRCOC, read: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    pruned, given = prune(model, 0.5, structured=False), inputs(model, 4) | read
    with_weights(variants / "fp32" / HEADS, pruned, tmp_path / HEADS)
    found = asked(tmp_path / HEADS, given)
    assert sparsity_of(pruned) > 0.4
    for ours, wanted in zip(found, answers(pruned, given), strict=True):
        np.testing.assert_allclose(ours, wanted, atol=2e-4, rtol=1e-3)
    assert np.abs(found[0] - answers(model, given)[0]).max() > 1e-3  # weights really changed


def test_graphs_hold_no_path_of_this_machine_and_no_notes_of_the_exporter(variants: Path) -> None:
    here = str(Path(__file__).parents[4]).encode()
    graphs = sorted(variants.glob("*/*.onnx"))
    assert len(graphs) == 12 + 5
    for graph in graphs:
        found = graph.read_bytes()
        assert here not in found and b"stack_trace" not in found and b"site-packages" not in found, graph
