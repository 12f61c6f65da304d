"""Dynamic int8 quantization of ONNX graphs: matrix products by onnxruntime, tables of word embeddings by row."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from ml.release.export import graphs

TABLE = 2**20  # bytes from which a table is worth it: SAM's relative positions and small vocabularies are not
LEVELS = 127  # of a signed byte, to either side


def quantize(fp32: Path, int8: Path) -> None:
    """Write `int8`: the graph of `fp32` with its matrix products' weights as signed bytes, and its large tables.

    Activations are quantized as they come, so no calibration data is needed. Convolutions stay fp32: onnxruntime's
    ConvInteger is slower than its float kernel on CPUs.
    """
    large = len(graphs.files(fp32)) > 1
    folded, prepared = int8.with_suffix(".folded.onnx"), int8.with_suffix(".prepared.onnx")
    try:
        _fold(fp32, folded, large)
        _infer_shapes(folded, prepared)
        quantize_dynamic(
            prepared,
            int8,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )
    finally:
        graphs.remove(folded)
        graphs.remove(prepared)
    model = graphs.read(int8)
    quantize_tables(model.graph)
    graphs.write(model, int8)


def _fold(fp32: Path, folded: Path, large: bool) -> None:
    """Fold the constants of a graph, transposed weights among them: only a weight itself can be quantized.

    Folding and shapes are what onnxruntime's `quant_pre_process` does, here without three copies of all weights.
    """
    onnxruntime.set_default_logger_severity(3)  # what it cannot fold is no news to the user
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    options.add_session_config_entry("session.disable_prepacking", "1")
    if large:
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", folded.name + graphs.DATA
        )
    onnxruntime.InferenceSession(str(fp32), options, providers=["CPUExecutionProvider"])


def _infer_shapes(folded: Path, prepared: Path) -> None:
    """Write the graph with its shapes; the weights of a large one stay in the file beside `folded`."""
    onnx.shape_inference.infer_shapes_path(str(folded), str(prepared))
    model = onnx.load(str(prepared), load_external_data=False)
    add_pre_process_metadata(model)  # else the quantizer advises what has just been done
    onnx.save(model, str(prepared))


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
