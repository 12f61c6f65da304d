"""A graph that is not there, cut short or no graph at all is said so in one line."""

from pathlib import Path

import pytest

from ml.errors import UserError
from ml.release.runtime import session


@pytest.mark.parametrize("content", [None, b"", b"not a graph", "cut"])
def test_a_broken_graph_names_the_file_and_the_way_out(variants: Path, tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "heads.onnx"
    if content is not None:
        whole = (variants / "fp32" / "heads.onnx").read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    with pytest.raises(UserError, match=r"heads\.onnx: not readable as ONNX .*arrcoc stage compressed_model"):
        session(path)
