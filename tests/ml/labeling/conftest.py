"""A small toytown shard on its way to labels, and scenes of rectangles whose geometry is plain to see."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ml.labeling.hierarchy import assign
from ml.masks import Masks
from ml.params import Params, preset
from ml.sa1b.filter import filter_masks
from ml.sa1b.index import build_index
from ml.toytown.shards import shard_name, write_shard

IMAGES = 4


@dataclass(frozen=True)
class Shard:
    """A shard's files so far. `params`: toytown's, for `IMAGES` images."""

    params: Params
    tar: Path
    kept: Path


@pytest.fixture(scope="session")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    folder = tmp_path_factory.mktemp("shard")
    toytown = preset("toytown")
    params = toytown.model_copy(update={"toytown": toytown.toytown.model_copy(update={"images_per_shard": IMAGES})})
    tar = folder / f"{shard_name(3)}.tar"
    write_shard(3, params, tar)
    index, rejects, kept = (folder / name for name in ("index.parquet", "rejects.parquet", "kept.parquet"))
    build_index(tar, index, rejects, params.quality)
    filter_masks(index, kept, params.filter, assign)
    return Shard(params, tar, kept)


@pytest.fixture
def rectangles() -> Callable[..., Masks]:
    """Masks of filled rectangles (x, y, w, h) in an image of 100 x 100 pixels."""

    def make(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (100, 100)) -> Masks:
        dense = np.zeros((len(boxes), *size), bool)
        for mask, (x, y, w, h) in zip(dense, boxes, strict=True):
            mask[y : y + h, x : x + w] = True
        return Masks.from_dense(dense)

    return make
