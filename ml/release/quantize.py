"""Dynamic int8 quantization of ONNX graphs: matrix products by onnxruntime, tables of word embeddings by row."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from ml.release import graphs

TABLE = 2**20  # bytes from which a table is worth it: SAM's relative positions and small vocabularies are not
LEVELS = 127  # of a signed byte, to either side


def quantize(fp32: Path, int8: Path) -> None:
    """Write `int8`: the graph of `fp32` with its matrix products' weights as signed bytes, and its large tables.

    Activations are quantized as they come, so no calibration data is needed. Convolutions stay fp32: onnxruntime's
    ConvInteger is slower than its float kernel on CPUs.
    """
    onnxruntime.set_default_logger_severity(3)  # what it cannot fold is no news to the user
    prepared, large = int8.with_suffix(".prepared.onnx"), len(graphs.files(fp32)) > 1
    beside = {"all_tensors_to_one_file": True, "external_data_location": prepared.name + graphs.DATA} if large else {}
    try:
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True, save_as_external_data=large, **beside)
        quantize_dynamic(
            prepared,
            int8,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )
    finally:
        graphs.remove(prepared)
    model = graphs.read(int8)
    quantize_tables(model.graph)
    graphs.write(model, int8)


def quantize_tables(graph: onnx.GraphProto) -> None:
    """Large tables that rows are looked up in, as signed bytes with a scale a row: what is looked up becomes fp32."""
    tables = {weight.name: weight for weight in graph.initializer if _large_table(graph, weight)}
    nodes = []
    for node in graph.node:
        if node.input and node.input[0] in tables:
            nodes += _looked_up(node)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    for weight in tables.values():
        rows = numpy_helper.to_array(weight)
        scales = np.maximum(np.abs(rows).max(1, keepdims=True), np.finfo(np.float32).tiny) / LEVELS
        weight.CopyFrom(numpy_helper.from_array(np.rint(rows / scales).astype(np.int8), weight.name))
        graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), f"{weight.name}_row_scales"))


def _large_table(graph: onnx.GraphProto, weight: TensorProto) -> bool:
    """Whether an initializer is a table `[V, d]` that only rows are looked up in."""
    if weight.data_type != TensorProto.FLOAT or len(weight.dims) != 2 or 4 * int(np.prod(weight.dims)) < TABLE:
        return False
    readers = [node for node in graph.node if weight.name in node.input]
    return bool(readers) and all(
        node.op_type == "Gather" and node.input[0] == weight.name and all(a.i == 0 for a in node.attribute)
        for node in readers
    )


def _looked_up(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Nodes that look up rows of signed bytes and their scales in the place of one that looks up floats."""
    table, ids = node.input
    (out,) = node.output
    return [
        helper.make_node("Gather", [table, ids], [f"{out}_row"], f"{out}_Row"),
        helper.make_node("Gather", [f"{table}_row_scales", ids], [f"{out}_row_scale"], f"{out}_RowScale"),
        helper.make_node("Cast", [f"{out}_row"], [f"{out}_row_cast"], f"{out}_RowCast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{out}_row_cast", f"{out}_row_scale"], [out], f"{out}_RowMul"),
    ]
