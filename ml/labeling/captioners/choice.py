"""The captioner that `labels.captioner` names; a new one is registered here."""

from collections.abc import Callable
from pathlib import Path

from ml.labeling.captioners.asking import Asker
from ml.labeling.captioners.cache import Cache
from ml.labeling.captioners.captioner import Captioner
from ml.labeling.captioners.from_clip import ClipCaptioner, CoCa
from ml.labeling.captioners.from_endpoint import EndpointCaptioner
from ml.labeling.captioners.from_file import FileCaptioner, read_captions
from ml.labeling.kept import count_images, count_masks
from ml.params import Params
from ml.sa1b import sharding
from ml.workspace import Workspace


def captioner_of(ws: Workspace, params: Params, shard: str, clip: object, coca: Callable[[], CoCa]) -> Captioner:
    """The captioner of a shard. `coca` is loaded where it is the one; `clip`: what embeds the masks' crops.

    Raises:
        UserError: it can't be had, as where the caption file is damaged.
    """
    kept, limit = ws.shard_file("filtered_masks", shard, ".parquet"), params.quality.max_reject_fraction
    if params.labels.captioner == "file":
        others = _others(ws, params, shard)
        return FileCaptioner(read_captions(ws.root / params.labels.caption_file, kept, others, limit))
    if params.labels.captioner == "openai":
        asker, cache = Asker(params.endpoint, params.labels.openai), Cache(ws.answers / f"{shard}.jsonl")
        return EndpointCaptioner(asker, cache, shard, count_masks(kept) + count_images(kept), limit)
    return ClipCaptioner(coca(), clip)


def _others(ws: Workspace, params: Params, shard: str) -> list[Path] | None:
    """The kept masks of all other shards, as far as they are there, for the first shard; None for the others."""
    first, *others = sharding.partitions("pseudo_labels", ws, params)
    return [ws.shard_file("filtered_masks", other, ".parquet") for other in others] if shard == first else None
