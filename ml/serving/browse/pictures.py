"""Pictures for a page: a JPEG as it lies in its shard or benchmark, or small."""

import io
from pathlib import Path

from PIL import Image

from ml.errors import UserError
from ml.evaluation.benchmarks.index import image_path
from ml.sa1b.reading.reader import decode, read_jpeg
from ml.serving.browse.tables import shard_file, where
from ml.workspace import Workspace

SMALL = 256  # pixels of the longer side


def of_shard(ws: Workspace, shard: str, image_id: int) -> bytes:
    """The JPEG of an image in the index of a shard, from its offset in the tar.

    Raises:
        UserError: there is no such image, or the tar is gone.
    """
    index = shard_file(ws, "mask_index", shard)
    rows = where(index, "image_id", image_id, ["jpeg_offset", "jpeg_bytes"])
    if not rows:
        raise UserError(f"{shard}: no image {image_id}")
    return read_jpeg(ws.shard_file("sa1b_shards", shard, ".tar"), rows[0]["jpeg_offset"], rows[0]["jpeg_bytes"])


def of_benchmark(ws: Workspace, image: str) -> bytes:
    """The picture of a benchmark, by its key in `images.parquet`.

    Raises:
        UserError: there is no such picture.
    """
    data = ws.stage("benchmark_data")
    if not where(data / "images.parquet", "image", image, ["image"]):
        raise UserError(f"benchmark_data: no image {image!r}")
    return _bytes(image_path(data, image))


def small(jpeg: bytes) -> bytes:
    """A picture as a JPEG of at most SMALL pixels a side, from one decoded no larger than that needs.

    Raises:
        UserError: it can't be decoded.
    """
    image = Image.fromarray(decode(jpeg, (SMALL, SMALL)))
    image.thumbnail((SMALL, SMALL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run benchmark_data again") from error
