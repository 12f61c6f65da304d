"""A large graph has its weights in a file beside it, on all of its way to an answer."""

import resource
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from ml.compute.pool import apart
from ml.models.arrcoc import ARRCOC
from ml.release.export import graphs
from ml.release.export.towers import GRAPHS, HEADS, TEXT_ENCODER, export_text_encoder
from ml.release.runtime.predictor import Predictor, found
from ml.release.runtime.sessions import Graph
from ml.release.shrink.compress import shrink_heads
from ml.release.shrink.quantize import quantize
from ml.release.variants import COMMON, VARIANTS
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene
from ml.workspace.settings import preset

GIB = 2**30


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def both(name: str) -> set[str]:
    return {name, f"{name}.data"}


def outputs(graph: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    return Graph(graph)(**inputs)


def test_a_large_graph_takes_its_weights_along_from_export_to_package(
    variants: Path, clip, model: ARRCOC, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "LIMIT", 2**16)  # bytes, which all of the town's graphs have
    fp32, pruned, int8 = (tmp_path / name for name in VARIANTS)
    for folder in (pruned, int8):
        folder.mkdir()
    export_text_encoder(clip, fp32 / TEXT_ENCODER)
    graphs.write(graphs.read(variants / "fp32" / HEADS), fp32 / HEADS)
    graphs.copy(fp32 / TEXT_ENCODER, pruned)
    quantize(fp32 / TEXT_ENCODER, int8 / TEXT_ENCODER)
    shrink_heads(model, preset("toytown").compression, tmp_path)
    ids = clip.tokenize(["a red car", "the sky"]).numpy()
    for folder in (fp32, pruned, int8):
        assert names(folder) == both(TEXT_ENCODER) | both(HEADS)
        assert graphs.files(folder / HEADS) == [folder / HEADS, folder / f"{HEADS}.data"]
        theirs = variants / folder.name
        wanted = outputs(theirs / TEXT_ENCODER, ids=ids)
        for ours, single in zip(outputs(folder / TEXT_ENCODER, ids=ids), wanted, strict=True):
            np.testing.assert_array_equal(ours, single)
        here = sum(path.stat().st_size for path in graphs.files(folder / HEADS))
        assert here == pytest.approx((theirs / HEADS).stat().st_size, rel=0.2)
    for name in set(GRAPHS) - {TEXT_ENCODER, HEADS}:
        graphs.copy(variants / "int8" / name, int8)
    image = draw(scene(0, 0, "tests")).image
    both_ways = (Predictor(variants / COMMON, folder) for folder in (int8, variants / "int8"))
    large, small = (found(*predictor.predict(image, ["the house"]), ["the house"], 0) for predictor in both_ways)
    assert large == small and large["masks"]


def test_no_weights_stay_behind_a_graph_that_has_become_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, weights = tmp_path / "a.onnx", np.arange(4096, dtype=np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(graphs, "LIMIT", 1000)
        for _ in range(2):  # written again it's no longer
            graphs.write(constant(weights), graph)
            assert names(tmp_path) == both("a.onnx")
            assert graph.stat().st_size < 1000 and graphs.files(graph)[1].stat().st_size == weights.nbytes
        np.testing.assert_array_equal(outputs(graph)[0], weights)
    graphs.write(graphs.read(graph), graph)
    assert names(tmp_path) == {"a.onnx"}
    np.testing.assert_array_equal(outputs(graph)[0], weights)
    graphs.remove(graph)
    graphs.remove(graph)
    assert not names(tmp_path)


@pytest.mark.parametrize("limit", [1000, graphs.LIMIT])
def test_an_exported_graph_has_no_notes_wherever_its_weights_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(graphs, "LIMIT", limit)
    layer, batch = nn.Linear(64, 64).eval(), torch.randn(2, 64)
    graphs.write_program(exported(layer, batch), tmp_path / "a.onnx")
    assert len(graphs.files(tmp_path / "a.onnx")) == (2 if limit == 1000 else 1)
    for file in tmp_path.iterdir():
        assert b"stack_trace" not in file.read_bytes() and b"site-packages" not in file.read_bytes()
    found = outputs(tmp_path / "a.onnx", x=batch.numpy())[0]
    np.testing.assert_allclose(found, layer(batch).detach().numpy(), atol=1e-5)


def constant(weights: np.ndarray) -> onnx.ModelProto:
    """A graph that answers its weights."""
    made = onnx.numpy_helper.from_array(weights, "w")
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, weights.shape)
    node = onnx.helper.make_node("Identity", ["w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [], [out], [made])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)


def exported(module: nn.Module, batch: torch.Tensor) -> torch.onnx.ONNXProgram:
    names = {"input_names": ["x"], "output_names": ["y"]}
    program = torch.onnx.export(module, (batch,), **names, dynamo=True, verbose=False, optimize=False)
    assert program is not None
    return program


def stack() -> nn.Sequential:
    """A model of 2.4 GB; like a tower it takes more than rows, so that its layers become MatMul and not Gemm."""
    torch.manual_seed(0)
    with torch.device("meta"):
        layers = [nn.Linear(8192, 8192, bias=False) for _ in range(9)]
    model = nn.Sequential(*layers).to_empty(device="cpu").eval().requires_grad_(False)
    for layer in model:
        layer.weight.uniform_(-1, 1).div_(64)
    return model


def export_stack(folder: Path) -> int:
    """Write the graph of `stack`; the most memory that it took."""
    graphs.write_program(exported(stack(), torch.zeros(1, 2, 8192)), folder / "fp32.onnx")
    return peak()


def quantize_stack(folder: Path) -> int:
    """Write its int8 form; the most memory that it took."""
    quantize(folder / "fp32.onnx", folder / "int8.onnx")
    return peak()


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.slow
def test_a_graph_that_outgrows_protobuf_is_exported_quantized_and_asked(tmp_path: Path) -> None:
    took = {work.__name__: apart(work, tmp_path) / GIB for work in (export_stack, quantize_stack)}
    print(took)
    assert names(tmp_path) == both("fp32.onnx") | {"int8.onnx"}
    fp32, int8 = (sum(f.stat().st_size for f in graphs.files(tmp_path / f"{n}.onnx")) for n in ("fp32", "int8"))
    assert fp32 > 2.2 * GIB and int8 < 0.26 * fp32
    batch = torch.randn(1, 2, 8192, generator=torch.Generator().manual_seed(1)).numpy()
    wanted, found = (outputs(tmp_path / f"{name}.onnx", x=batch)[0] for name in ("fp32", "int8"))
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.99
    assert max(took.values()) < 10, took
