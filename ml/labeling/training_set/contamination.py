"""Training images that are copies of benchmark images: a score on an image that was trained on says nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import UserError
from ml.sa1b.reading.phash import NEAR, nearest

Row = dict[str, Any]


def copies(shard: str, image_ids: Sequence[int], hashes: Sequence[bytes], known: list[Row]) -> list[Row]:
    """The images of a shard that are copies of a benchmark's.

    Args:
        hashes: of the shard's images, in the order of `image_ids`.
        known: rows of `benchmark_hashes`.

    Returns:
        rows of {"shard", "image_id", "benchmark_image", "mirrored", "bits"}; bits: how many differ, of 256.
    """
    index, bits = nearest(hashes, (row["phash"] for row in known))
    return [
        {
            "shard": shard,
            "image_id": image_id,
            "benchmark_image": known[match]["image"],
            "mirrored": known[match]["mirrored"],
            "bits": int(differing),
        }
        for image_id, match, differing in zip(image_ids, index, bits, strict=True)
        if differing <= NEAR
    ]


def benchmark_hashes(path: Path) -> list[Row]:
    """What `benchmark_data` knows of its images: rows of {"image", "mirrored", "phash"}.

    Raises:
        UserError: the file is missing or no Parquet.
    """
    try:
        return pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: not readable as Parquet ({error}); run benchmark_data") from error
