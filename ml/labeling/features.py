"""The frozen SAM encoder's output for every image of a shard: half precision, random access."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.compute.ahead import ahead
from ml.labeling.kept import count_images, decoded, read_kept
from ml.labeling.tensors import tensor_file
from ml.params import Features
from ml.workspace.report import Report

Image = NDArray[np.uint8]
UNREADABLE = -1


class Encoder(Protocol):
    """The frozen SAM: `ml.models.frozen.sam.Sam`, or anything alike. `grid`: cells a side of its output."""

    channels: int
    grid: int

    def to_frame(self, image: Image) -> Image:
        """Bring an RGB image `[H, W, 3]` into SAM's frame, `[4, S, S]`."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """Encode uint8 images `[B, 4, S, S]` in SAM's frame to features `[B, channels, grid, grid]`."""
        ...


def encode_shard(
    kept_parquet: Path, tar: Path, out: Path, sam: Encoder, params: Features, cached: bool = True
) -> Report:
    """Write `features` f16 [views, images, C, h, w] and `image_ids` i64 [images], in the order of `filtered_masks`.

    View 0 is the image as it is; view 1, where `params.flip` asks for it, the image mirrored before it is resized
    and padded. An image that can't be decoded has id -1 and zeros, and is counted in the report. Where training encodes
    the images itself (not `cached`), the file holds none: for all of SA-1B it would be 47 TB that nobody reads.

    Raises:
        UserError: an input is not readable.
    """
    images = count_images(kept_parquet) if cached else 0
    views = 2 if params.flip else 1
    shape = (views, images, sam.channels, sam.grid, sam.grid)
    rejected: Counter[str] = Counter()
    with tensor_file(out, {"features": ("F16", shape), "image_ids": ("I64", (images,))}) as tensors:
        tensors["image_ids"][:] = UNREADABLE
        for batch in ahead(_framed(kept_parquet, tar, sam, params, rejected)) if cached else ():
            places, ids, frames = batch
            for view, shown in enumerate(frames):
                tensors["features"][view, places] = sam.encode(shown).half().cpu().numpy()
            tensors["image_ids"][places] = ids
    numbers: dict[str, float | int | str] = {"images": images - rejected.total(), "bytes": out.stat().st_size}
    return Report(numbers=numbers, rejected=dict(rejected))


def _framed(
    kept_parquet: Path, tar: Path, sam: Encoder, params: Features, rejected: Counter[str]
) -> Iterator[tuple[list[int], list[int], list[Tensor]]]:
    """Places and ids of the readable images, `batch_size` at a time, and the frames of each view."""
    for batch in _batches(kept_parquet, tar, params.batch_size, rejected):
        places, ids, pictures = (list(column) for column in zip(*batch, strict=True))
        yield places, ids, [_frames(pictures, sam, mirrored) for mirrored in (False, True)[: 2 if params.flip else 1]]


def _batches(
    kept_parquet: Path, tar: Path, size: int, rejected: Counter[str]
) -> Iterator[list[tuple[int, int, Image]]]:
    """(place, image id, pixels) of the readable images, `size` at a time."""
    pictures = enumerate(decoded(read_kept(kept_parquet), tar, rejected))
    readable = ((place, kept.image_id, image) for place, (kept, image) in pictures if image is not None)
    while batch := list(islice(readable, size)):
        yield batch


def _frames(pictures: list[Image], sam: Encoder, mirrored: bool) -> Tensor:
    """Pictures in SAM's frame, uint8 [B, 4, S, S]."""
    return torch.from_numpy(np.stack([sam.to_frame(image[:, ::-1] if mirrored else image) for image in pictures]))
