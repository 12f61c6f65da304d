"""Models of real size without a download, and pictures of SA-1B's size."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from town import STAGES, Row, build, make

from ml.bench.files import Pair, enlarged_scene, read_pair


@pytest.fixture(scope="session")
def pair() -> Pair:
    """A real image of SA-1B with its masks, or where there is none a scene of toytown as large."""
    file = Path(__file__).parents[3] / "shared" / "samples" / "sa1b" / "sa_1.json"
    return read_pair(file) if file.is_file() else enlarged_scene()


@pytest.fixture(scope="session")
def real_town(make_checkout: Callable[..., Any], pair: Pair) -> Path:
    """A workspace of preset `sa1b` on models of real size."""
    root = make_checkout("sa1b", "real").root
    build(root, pair)
    return root


@pytest.fixture(scope="session")
def made(real_town: Path) -> list[Row]:
    """All its stages, made."""
    return [make(real_town, stage) for stage in STAGES]
