"""int8 quantization of ONNX graphs, without calibration data.

Matrix products are computed in bytes (onnxruntime's dynamic quantization). All other weights are kept in bytes: rows of
large tables become floats as they are looked up, the rest when the graph is loaded.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from ml.release.export import graphs

TABLE = 2**20  # bytes from which a table is worth it: SAM's relative positions and small vocabularies are not
LEAST = 2**10  # numbers from which any other weight is worth it
LEVELS = 127  # of a signed byte, to either side
LEAST_SCALE = 1e-30  # of a row of zeros


def quantize(fp32: Path, int8: Path) -> None:
    """Write `int8`: the graph of `fp32` with its weights as signed bytes.

    Activations are quantized as they come, and for matrix products alone: onnxruntime's ConvInteger is slower than its
    float kernel on CPUs.
    """
    large = len(graphs.files(fp32)) > 1
    folded, prepared = int8.with_suffix(".folded.onnx"), int8.with_suffix(".prepared.onnx")
    try:
        with _full_disk_is_told(int8.parent, sum(file.stat().st_size for file in graphs.files(fp32))):
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
    store_in_bytes(model.graph)
    graphs.write(model, int8)


@contextmanager
def _full_disk_is_told(folder: Path, size: int) -> Iterator[None]:
    """Say so where there was no room for a graph of so many bytes.

    onnx and onnxruntime write without looking whether it went to the disk, and then cannot read what was cut short.

    Raises:
        OSError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


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
        values, scales = _in_bytes(numpy_helper.to_array(weight), (1,))
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))
        graph.initializer.append(numpy_helper.from_array(scales, f"{weight.name}_row_scales"))


def store_in_bytes(graph: onnx.GraphProto) -> None:
    """Weights that are still floats as signed bytes, with a scale an output channel of a convolution, else a row.

    onnxruntime folds the product of bytes and scales when it loads the graph: answers take no longer than with floats.
    """
    convolved = {node.input[1]: node.op_type for node in graph.node if node.op_type in ("Conv", "ConvTranspose")}
    nodes = []
    for weight in [weight for weight in graph.initializer if _is_weight(weight)]:
        name, rank = weight.name, len(weight.dims)
        channel = {"Conv": 0, "ConvTranspose": 1}.get(convolved.get(name, ""))
        within = (rank - 1,) if channel is None else tuple(axis for axis in range(rank) if axis != channel)
        values, scales = _in_bytes(numpy_helper.to_array(weight), within)
        weight.CopyFrom(numpy_helper.from_array(values, f"{name}_bytes"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scales"))
        nodes += _made_floats(f"{name}_bytes", f"{name}_scales", name)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def _in_bytes(values: NDArray[np.float32], within: tuple[int, ...]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Values as signed bytes, and the scales that they are told in; `within`: the axes that share one."""
    scales = np.maximum(np.abs(values).max(within, keepdims=True), LEAST_SCALE) / LEVELS
    return np.rint(values / scales).astype(np.int8), scales.astype(np.float32)


def _is_weight(weight: TensorProto) -> bool:
    """Whether it is worth it, and no mask: an attention's is of zeros and infinities."""
    large = weight.data_type == TensorProto.FLOAT and len(weight.dims) > 1 and int(np.prod(weight.dims)) >= LEAST
    return large and bool(np.isfinite(numpy_helper.to_array(weight)).all())


def _made_floats(values: str, scales: str, out: str) -> list[onnx.NodeProto]:
    """Nodes that make `out`, floats, of signed bytes and their scales."""
    return [
        helper.make_node("Cast", [values], [f"{out}_cast"], f"{out}_Cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{out}_cast", scales], [out], f"{out}_Mul"),
    ]


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
        *_made_floats(f"{out}_row", f"{out}_row_scale", out),
    ]
