"""A graph that is not there, cut short or no graph at all is said so in one line."""

from pathlib import Path

import pytest

from ml.errors import UserError
from ml.release.export import graphs
from ml.release.runtime import sessions
from ml.release.runtime.sessions import Graph


@pytest.mark.parametrize("content", [None, b"", b"not a graph", "cut"])
def test_a_broken_graph_names_the_file_and_the_way_out(variants: Path, tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "heads.onnx"
    if content is not None:
        whole = (variants / "fp32" / "heads.onnx").read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    with pytest.raises(UserError, match=r"heads\.onnx: not readable as ONNX .*arrcoc stage compressed_model"):
        Graph(path)


@pytest.mark.parametrize("content", [None, b"", b"cut"])
def test_so_is_one_whose_weights_are_lost(
    variants: Path, tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "LIMIT", 2**16)
    path = tmp_path / "heads.onnx"
    graphs.write(graphs.read(variants / "fp32" / "heads.onnx"), path)
    Graph(path)
    data = graphs.files(path)[1]
    data.unlink() if content is None else data.write_bytes(content)
    with pytest.raises(UserError, match=r"heads\.onnx: not readable as ONNX .*arrcoc stage compressed_model"):
        Graph(path)


class Fake:
    def __init__(self, providers: list[str]) -> None:
        self.providers = providers

    def get_inputs(self) -> list[object]:
        return []


@pytest.mark.parametrize(
    "there", [["CPUExecutionProvider"], ["AzureExecutionProvider", "CPUExecutionProvider", "CUDAExecutionProvider"]]
)
def test_a_gpu_is_asked_first_where_onnxruntime_has_one(monkeypatch: pytest.MonkeyPatch, there: list[str]) -> None:
    monkeypatch.setattr(sessions.onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(sessions.onnxruntime, "InferenceSession", lambda *_, providers: Fake(providers))
    assert Graph(Path("any.onnx"))._session.providers == (there[1:][::-1] or there)


def test_a_broken_config_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{")
    for name in ("package.json", "none.json"):
        with pytest.raises(UserError, match=rf"{name}: not readable .*arrcoc stage released_model"):
            sessions.read_config(tmp_path / name)
