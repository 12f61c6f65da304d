"""int8 graphs answer nearly as the fp32 ones, in fewer bytes."""

import errno
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from ml.release.shrink import quantize as module
from ml.release.shrink.quantize import quantize


def test_int8_is_smaller_and_close(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 512), nn.GELU(), nn.Linear(512, 64)).eval()
    batch = torch.randn(8, 64)
    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    torch.onnx.export(model, (batch,), str(fp32), dynamo=False, input_names=["x"], output_names=["y"])
    quantize(fp32, int8)
    wanted = model(batch).detach().numpy()
    found = onnxruntime.InferenceSession(str(int8)).run(None, {"x": batch.numpy()})[0]
    assert int8.stat().st_size < 0.4 * fp32.stat().st_size
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fp32.onnx", "int8.onnx"]


class Looked(nn.Module):
    """Ids to their rows of a table, and to what else is done with the rows, or with the table if it's `shared`."""

    def __init__(self, rows: int, shared: bool) -> None:
        super().__init__()
        self.table, self.shared = nn.Embedding(rows, 64), shared
        self.table.weight.data *= torch.logspace(-3, 1, rows)[:, None]  # a scale for all would lose the small rows

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.table(ids)
        return rows, torch.tanh(self.table.weight * ids.sum() if self.shared else rows)


def looked_up(folder: Path, model: Looked, ids: torch.Tensor) -> tuple[Path, list[np.ndarray]]:
    """The int8 graph of a model, and what it answers."""
    fp32, int8 = folder / "fp32.onnx", folder / "int8.onnx"
    torch.onnx.export(model.eval(), (ids,), str(fp32), dynamo=False, input_names=["ids"], output_names=["x", "y"])
    quantize(fp32, int8)
    return int8, onnxruntime.InferenceSession(str(int8)).run(None, {"ids": ids.numpy()})


def test_a_large_table_is_kept_in_bytes_with_a_scale_a_row(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, ids = Looked(9000, shared=False), torch.tensor([[0, 17, 8999, 4000]])
    int8, found = looked_up(tmp_path, model, ids)
    assert int8.stat().st_size < 0.28 * (tmp_path / "fp32.onnx").stat().st_size
    rows = model.table(ids).detach().numpy()
    assert (np.abs(found[0] - rows) <= np.abs(rows).max(-1, keepdims=True) / 253).all()
    np.testing.assert_allclose(found[1], np.tanh(found[0]), atol=1e-6)
    model.table.weight.data[17] = 0
    np.testing.assert_array_equal(looked_up(tmp_path, model, ids)[1][0][0, 1], 0)


@pytest.mark.parametrize(("rows", "shared"), [(9000, True), (100, False)])
def test_tables_that_serve_otherwise_too_or_are_small_become_floats_when_they_are_loaded(
    tmp_path: Path, rows: int, shared: bool
) -> None:
    torch.manual_seed(0)
    model, ids = Looked(rows, shared), torch.tensor([[0, 17, 99]])
    int8, found = looked_up(tmp_path, model, ids)
    kept = model.table(ids).detach().numpy()
    assert int8.stat().st_size < 0.35 * (tmp_path / "fp32.onnx").stat().st_size
    assert (np.abs(found[0] - kept) <= np.abs(kept).max(-1, keepdims=True) / 253).all()
    assert as_loaded(int8, tmp_path) == as_loaded(tmp_path / "fp32.onnx", tmp_path)


def as_loaded(graph: Path, folder: Path) -> list[str]:
    """The operators that are left of a graph when onnxruntime has loaded it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "loaded.onnx")
    onnxruntime.InferenceSession(str(graph), options)
    return sorted(node.op_type for node in onnx.load(str(folder / "loaded.onnx")).graph.node)


@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_are_kept_in_bytes_with_a_scale_a_channel(tmp_path: Path, transposed: bool) -> None:
    torch.manual_seed(0)
    model = (nn.ConvTranspose2d if transposed else nn.Conv2d)(16, 32, 3).eval()
    scales = torch.logspace(-3, 1, 32)  # one scale for all would lose the small channels
    model.weight.data *= scales[:, None, None] if transposed else scales[:, None, None, None]
    model.bias.data.zero_()
    fp32, int8, batch = tmp_path / "fp32.onnx", tmp_path / "int8.onnx", torch.randn(1, 16, 9, 9)
    torch.onnx.export(model, (batch,), str(fp32), dynamo=False, input_names=["x"], output_names=["y"])
    quantize(fp32, int8)
    wanted = model(batch).detach().numpy()
    found = onnxruntime.InferenceSession(str(int8)).run(None, {"x": batch.numpy()})[0]
    assert int8.stat().st_size < 0.35 * fp32.stat().st_size
    assert (np.abs(found - wanted).max((0, 2, 3)) < 0.02 * np.abs(wanted).max((0, 2, 3))).all()
    assert as_loaded(int8, tmp_path) == as_loaded(fp32, tmp_path)


def test_a_quantized_vocabulary_costs_the_towns_texts_next_to_nothing(
    variants: Path, clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TABLE", 2**18)  # the town's has 0.4 MB
    quantize(variants / "fp32" / "text_encoder.onnx", tmp_path / "int8.onnx")
    weights = onnx.load(str(tmp_path / "int8.onnx")).graph.initializer
    kinds = [weight.data_type for weight in weights if list(weight.dims) == [clip.vocab_size, 128]]
    assert kinds == [onnx.TensorProto.INT8]
    ids = clip.tokenize(["the red car left of the house", "a boat", "the sky"]).numpy()
    without, pooled = (
        onnxruntime.InferenceSession(str(path)).run(["pooled"], {"ids": ids})[0]
        for path in (variants / "int8" / "text_encoder.onnx", tmp_path / "int8.onnx")
    )
    assert (without * pooled).sum(-1).min() > 0.999


class Masked(nn.Module):
    """Attention that looks back alone: its mask is a constant with infinities."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((64, 64), -torch.inf).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x @ x.transpose(-1, -2) + self.mask, dim=-1) @ x


def test_a_mask_stays_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, batch, fp32, int8 = Masked(), torch.randn(2, 64, 8), tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    torch.onnx.export(model, (batch,), str(fp32), dynamo=False, input_names=["x"], output_names=["y"])
    quantize(fp32, int8)
    found = onnxruntime.InferenceSession(str(int8)).run(None, {"x": batch.numpy()})[0]
    np.testing.assert_allclose(found, model(batch).numpy(), atol=1e-5)


def test_answers_of_int8_towers_are_close(variants: Path, clip) -> None:
    ids = clip.tokenize(["the red car left of the house", "a boat", "the sky"]).numpy()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 256, 256), np.uint8)
    pixels[:, 3] = 1
    for tower, given in (("text_encoder", {"ids": ids}), ("image_encoder", {"images": pixels})):
        fp32, int8 = (
            onnxruntime.InferenceSession(str(variants / name / f"{tower}.onnx")).run(None, given)[0]
            for name in ("fp32", "int8")
        )
        assert (fp32 * int8).sum() / np.sqrt((fp32**2).sum() * (int8**2).sum()) > 0.995


@pytest.mark.parametrize("room", [0, 2**40])
def test_a_graph_cut_short_is_told_as_a_full_disk_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    fp32, batch = tmp_path / "fp32.onnx", torch.randn(2, 64)
    torch.onnx.export(nn.Linear(64, 64), (batch,), str(fp32), dynamo=False, input_names=["x"], output_names=["y"])
    write = module._infer_shapes

    def cut(folded: Path, prepared: Path) -> None:
        write(folded, prepared)
        prepared.write_bytes(prepared.read_bytes()[:-5000])

    monkeypatch.setattr(module, "_infer_shapes", cut)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=room))
    with pytest.raises(Exception) as met:
        quantize(fp32, tmp_path / "int8.onnx")
    assert (getattr(met.value, "errno", None) == errno.ENOSPC) == (room == 0)
