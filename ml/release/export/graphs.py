"""ONNX graphs on disk: one file, and beside a large graph the file of its weights, `NAME.onnx.data`.

Protobuf holds no message of 2 GiB, which SAM's largest encoder outgrows. Graphs are written without the exporter's
notes, whose stack traces hold paths of this machine, and half of the bytes.
"""

import shutil
from pathlib import Path
from typing import Any

import onnx
from torch.onnx import ONNXProgram

LIMIT = 2**30  # bytes of weights above which they get a file of their own
DATA = ".data"  # what its name ends with
NOTED = {"GraphProto", "NodeProto", "AttributeProto", "ValueInfoProto", "FunctionProto", "TensorProto"}


def read(path: Path) -> onnx.ModelProto:
    """A graph with all its weights."""
    return onnx.load(str(path))


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph in the place of any that was there; the weights of a large one are taken from `model`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(path)
    large = sum(len(weight.raw_data) for weight in model.graph.initializer) > LIMIT
    onnx.save(without_notes(model), str(path), save_as_external_data=large, location=path.name + DATA)


def write_program(program: ONNXProgram, path: Path) -> None:
    """Write what `torch.onnx.export` made; the weights of a large graph go to disk and are not read again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(path)
    weights = [value.const_value for value in program.model.graph.initializers.values()]
    large = sum(weight.nbytes for weight in weights if weight is not None) > LIMIT
    program.save(str(path), external_data=large)
    model = onnx.load(str(path), load_external_data=False)
    onnx.save(without_notes(model), str(path))


def without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, its notes cleared: at the model, and at every graph, node, value and function below it."""
    todo: list[Any] = [model]
    while todo:
        message = todo.pop()
        for field, value in message.ListFields():
            if field.name == "metadata_props":
                message.ClearField("metadata_props")
            elif field.message_type is not None and field.message_type.name in NOTED:
                todo += value if field.is_repeated else [value]
    return model


def files(path: Path) -> list[Path]:
    """The files of a graph: its own, and that of its weights where it has one."""
    data = path.with_name(path.name + DATA)
    return [path, data] if data.is_file() else [path]


def copy(path: Path, folder: Path) -> None:
    """Copy a graph with its weights to a folder."""
    for file in files(path):
        shutil.copyfile(file, folder / file.name)


def remove(path: Path) -> None:
    """Remove a graph with its weights, where there is one."""
    for file in files(path):
        file.unlink(missing_ok=True)
