"""int8 graphs answer nearly as the fp32 ones, in fewer bytes."""

import numpy as np
import onnxruntime
import torch
from torch import nn

from ml.release.quantize import quantize


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
