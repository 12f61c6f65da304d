"""A small toytown shard on its way to labels, and scenes of rectangles whose geometry is plain to see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import ml.toytown
from ml.labeling.geometry.hierarchy import assign
from ml.labeling.geometry.relations import measure
from ml.labeling.language.english import english
from ml.labeling.language.phrases import Phrase
from ml.labeling.queries.query import Asker, Region, subjects
from ml.labeling.relevance import Scores, Sizes, Vocabulary
from ml.masks import Masks
from ml.models.frozen.clip import Clip, load_clip
from ml.params import Params
from ml.sa1b.shards.filter import filter_masks
from ml.sa1b.shards.index import build_index
from ml.toytown.files.shards import shard_name, write_shard
from ml.workspace.settings import preset


def parse(text: str) -> Phrase | None:
    return english().read([text])[0].first


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


@pytest.fixture(scope="session")
def weights() -> Path:
    """Toytown's backbones."""
    return Path(ml.toytown.__file__).parent / "weights"


@pytest.fixture(scope="session")
def clip(weights: Path) -> Clip:
    return load_clip(weights)


@pytest.fixture
def rectangles() -> Callable[..., Masks]:
    """Masks of filled rectangles (x, y, w, h) in an image of 100 x 100 pixels."""

    def make(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (100, 100)) -> Masks:
        dense = np.zeros((len(boxes), *size), bool)
        for mask, (x, y, w, h) in zip(dense, boxes, strict=True):
            mask[y : y + h, x : x + w] = True
        return Masks.from_dense(dense)

    return make


class Thing(NamedTuple):
    """A mask of a made-up scene; caption "" where it is not described, box xywh in 100 x 100 pixels."""

    caption: str
    box: tuple[int, int, int, int]
    level: str = "object"
    parent: int = -1


@dataclass(frozen=True)
class Made:
    """A made-up scene as queries and questions see it, with a CLIP that is always right."""

    asker: Asker
    levels: list[str]
    crops: np.ndarray
    words: Vocabulary


@pytest.fixture
def make(rectangles: Callable[..., Masks]) -> Callable[..., Made]:
    """`absent`: things of the shard, which may be elsewhere."""

    def build(
        *rows: tuple, absent: tuple[str, ...] = (), sizes: Sizes | None = None, unseen: Sequence[Phrase] = ()
    ) -> Made:
        things = [Thing(*row) for row in rows]
        masks = rectangles(*(thing.box for thing in things))
        geometry = measure(masks, np.array([thing.parent for thing in things]), 0.08)
        phrases = [parse(thing.caption) for thing in things]
        sizes = sizes or Sizes({})
        regions = [
            Region(i, phrase, thing.level, sizes.word(phrase.noun, float(geometry.areas[i]), 0.8))
            for i, (phrase, thing) in enumerate(zip(phrases, things, strict=True))
            if phrase
        ]
        names = subjects(regions)
        prompts = sorted({name.prompt for name in names} | set(absent))
        crops = np.array([[0.95 if _fits(p, phrase) else 0.05 for p in prompts] for phrase in phrases], np.float32)
        shard = [phrase for text in absent if (phrase := parse(text))]
        words = Vocabulary(prompts, shard, np.eye(len(prompts), dtype=np.float32), 0.5, 0.1)
        scores = Scores(names, crops, geometry, words, sizes)
        return Made(Asker(regions, names, scores, unseen), [thing.level for thing in things], crops, words)

    return build


def _fits(prompt: str, phrase: Phrase | None) -> bool:
    """Whether a crop that shows `phrase` is what `prompt` says."""
    said = parse(prompt)
    if phrase is None:
        return False
    return (said.noun, said.number) == (phrase.noun, phrase.number) and set(said.attributes) <= set(phrase.attributes)
