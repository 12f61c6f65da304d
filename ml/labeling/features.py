"""The frozen SAM encoder's output for every image of a shard: half precision, random access."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.labeling.kept import KeptImage, count_images, read_kept
from ml.labeling.tensors import tensor_file
from ml.params import Features
from ml.report import Report
from ml.sa1b.reader import decode, read_jpeg

Image = NDArray[np.uint8]


class Encoder(Protocol):
    """The frozen SAM: `ml.models.sam.Sam`, or anything alike. `grid`: cells a side of its output."""

    channels: int
    grid: int

    def to_frame(self, image: Image) -> Image: ...
    def encode(self, images: Tensor) -> Tensor: ...


def encode_shard(kept_parquet: Path, tar: Path, out: Path, sam: Encoder, params: Features) -> Report:
    """Write `features` f16 [views, images, C, h, w] and `image_ids` i64 [images], in the order of `filtered_masks`.

    View 0 is the image as it is; view 1, where `params.flip` asks for it, the image mirrored before it is resized
    and padded.

    Raises:
        UserError: an input is not readable.
    """
    images = count_images(kept_parquet)
    views = 2 if params.flip else 1
    shape = (views, images, sam.channels, sam.grid, sam.grid)
    with tensor_file(out, {"features": ("F16", shape), "image_ids": ("I64", (images,))}) as tensors:
        start = 0
        for batch in _batches(kept_parquet, params.batch_size):
            end = start + len(batch)
            pictures = [decode(read_jpeg(tar, kept.jpeg_offset, kept.jpeg_bytes)) for kept in batch]
            for view in range(views):
                tensors["features"][view, start:end] = _encode(pictures, sam, mirrored=view == 1)
            tensors["image_ids"][start:end] = [kept.image_id for kept in batch]
            start = end
    return Report(numbers={"images": images, "views": views, "bytes": out.stat().st_size})


def _batches(kept_parquet: Path, size: int) -> Iterator[list[KeptImage]]:
    images = read_kept(kept_parquet)
    while batch := list(islice(images, size)):
        yield batch


def _encode(pictures: list[Image], sam: Encoder, mirrored: bool) -> NDArray[np.float16]:
    frames = [sam.to_frame(picture[:, ::-1] if mirrored else picture) for picture in pictures]
    return sam.encode(torch.from_numpy(np.stack(frames))).half().numpy()
