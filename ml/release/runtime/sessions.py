"""ONNX graphs and JSON files of a released folder."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
)

from ml.errors import UserError, cut

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # the first that there is, the next for what it lacks
Floats = NDArray[np.float32]


class Graph:
    """An ONNX graph that runs, on a GPU where onnxruntime has one, else on this process's cores.

    It keeps no arena: a large encoder's would hold its activations, gigabytes, for as long as the session lives. Its
    threads sleep where they wait: several of them at work beside one another would else take the cores from each other.
    """

    def __init__(self, path: Path) -> None:
        """Load a graph.

        Raises:
            UserError: it is missing or broken.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
            reason = str(error).splitlines()[0][:160]
            raise UserError(f"{path}: not readable as ONNX ({reason}); run: arrcoc stage compressed_model") from error
        self._known = {item.name for item in self._session.get_inputs()}

    def __call__(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Its outputs in order; inputs that it does not know are left out."""
        feed = {name: value for name, value in inputs.items() if name in self._known}
        return [np.asarray(value) for value in self._session.run(None, feed)]


def load(*paths: Path) -> list[Graph]:
    """Graphs side by side: most of the time goes into what onnxruntime makes of them.

    Raises:
        UserError: one is missing or broken.
    """
    with ThreadPoolExecutor() as pool:
        return list(pool.map(Graph, paths))


def read_config(path: Path) -> dict[str, Any]:
    """The object of a JSON file.

    Raises:
        UserError: it is missing or no JSON.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable ({cut(str(error))}); run: arrcoc stage released_model") from error
