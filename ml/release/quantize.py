"""Dynamic int8 quantization of ONNX graphs by onnxruntime."""

from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from ml.release.export import save_graph


def quantize(fp32: Path, int8: Path) -> None:
    """Write `int8`: the graph of `fp32` with the weights of its matrix products as signed bytes, per channel.

    Activations are quantized as they come, so no calibration data is needed. Convolutions stay fp32: onnxruntime's
    ConvInteger is slower than its float kernel on CPUs.
    """
    onnxruntime.set_default_logger_severity(3)  # what it cannot fold is no news to the user
    prepared = int8.with_suffix(".prepared.onnx")
    try:
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
        quantize_dynamic(
            prepared, int8, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8
        )
        save_graph(onnx.load(str(int8)), int8)
    finally:
        prepared.unlink(missing_ok=True)
