"""What a run will take of disk and memory, from its params: an estimate that errs upward, to be told beforehand."""

import os
from collections.abc import Iterable
from pathlib import Path

from ml.params import Params
from ml.sa1b.sources.folder import Folder
from ml.sa1b.sources.listing import TOYTOWN, source_of
from ml.sa1b.sources.remote import Links
from ml.workspace import Workspace

GIGABYTE = 2**30
# Bytes an image: its JPEG and JSON in the tar, its rows of index, masks and labels (docs/scale.md), a view's features.
TOY_IMAGE, TOY_ROWS, TOY_FEATURES = 48_000, 30_000, 96 * 16 * 16 * 2
SHARD, IMAGES = 10**10, 11_185  # of SA-1B's tars
ROWS, FEATURES = 76_000, 256 * 64 * 64 * 2
# By SAM's size, in GB: checkpoints and models of a whole run; memory of a process that trains, of one that labels.
# The first two as measured (docs/scale.md), the others by what their weights weigh more.
SIZES = {"tiny": (0.2, 1.5, 1.2), "vit_b": (7.0, 9.0, 2.0), "vit_l": (10.0, 11.0, 4.0), "vit_h": (14.0, 14.0, 6.5)}


def memory_needed(params: Params) -> int:
    """Bytes that the processes of the hungriest stage take on this machine; other nodes are not counted."""
    _, trains, labels = SIZES[params.backbones.sam.model_type]
    here = params.training.launcher == "deepspeed" and params.training.hostfile is None
    training = params.training.processes if here else 1
    return int(GIGABYTE * max(training * trains, max(params.shards.workers, params.evaluation.workers) * labels))


def to_be_written(ws: Workspace, params: Params) -> int | None:
    """Bytes yet to be written into `data/`, and copied into DVC's cache; None: how many shards there are is not known.

    Raises:
        UserError: the source of shards is not there.
    """
    if (shards := _shards(ws, params)) is None:
        return None
    tars, images = shards
    toy = params.shards.source == TOYTOWN
    views = (1 + params.features.flip) * params.training.cached_features
    features = TOY_FEATURES if params.backbones.sam.model_type == "tiny" else FEATURES
    rows = TOY_ROWS if toy else ROWS
    whole = tars + images * (rows + views * features) + int(GIGABYTE * SIZES[params.backbones.sam.model_type][0])
    return max(0, whole - sum(_sizes(ws.data)))


def _shards(ws: Workspace, params: Params) -> tuple[int, int] | None:
    """Bytes and images of all shards."""
    count = params.shards.count
    if params.shards.source == TOYTOWN:
        images = (count or 0) * params.toytown.images_per_shard
        return images * TOY_IMAGE, images
    place = source_of(params, ws)
    if isinstance(place, Folder):
        tars = sum((place.path / name).stat().st_size for name in sorted(place.files())[:count])
        return tars, tars * IMAGES // SHARD
    if count is None and isinstance(place, Links):  # the others would have to be asked
        count = len(place.files() or ())
    return None if count is None else (count * SHARD, count * IMAGES)


def _sizes(folder: Path) -> Iterable[int]:
    """The size of every file below."""
    return (os.lstat(f"{place}/{name}").st_size for place, _, names in os.walk(folder) for name in names)
