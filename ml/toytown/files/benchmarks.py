"""The town's benchmark folders, each in the layout its real counterpart is distributed in."""

from collections.abc import Callable
from pathlib import Path

from ml.params import Params
from ml.toytown.files.absence import write_absence
from ml.toytown.files.flickr30k import write_flickr30k
from ml.toytown.files.lvis import write_lvis
from ml.toytown.files.refcoco import write_refcoco
from ml.toytown.files.relevance import write_relevance
from ml.toytown.files.vqa import write_vqa
from ml.workspace.atomic import atomic_dir

WRITERS: dict[str, Callable[[Path, Params], None]] = {
    "refcoco": write_refcoco,
    "flickr30k": write_flickr30k,
    "lvis": write_lvis,
    "relevance": write_relevance,
    "vqa": write_vqa,
    "absence": write_absence,
}


def write_benchmark(folder: Path, params: Params, name: str) -> None:
    """Write the named benchmark into a folder of its name that appears whole."""
    with atomic_dir(folder / name) as tmp:
        WRITERS[name](tmp, params)
