"""The town's benchmark folders, each in the layout its real counterpart is distributed in."""

from collections.abc import Callable
from pathlib import Path

from ml.atomic import atomic_dir
from ml.params import Params
from ml.toytown.flickr30k import write_flickr30k
from ml.toytown.lvis import write_lvis
from ml.toytown.refcoco import write_refcoco
from ml.toytown.relevance import write_relevance
from ml.toytown.vqa import write_vqa

WRITERS: dict[str, Callable[[Path, Params], None]] = {
    "refcoco": write_refcoco,
    "flickr30k": write_flickr30k,
    "lvis": write_lvis,
    "relevance": write_relevance,
    "vqa": write_vqa,
}


def write_benchmark(folder: Path, params: Params, name: str) -> None:
    """Write the named benchmark into a folder of its name that appears whole."""
    with atomic_dir(folder / name) as tmp:
        WRITERS[name](tmp, params)
