from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml.errors import UserError
from ml.labeling.kept import count_images, count_masks, decoded, read_kept


def test_every_row_once_image_by_image(shard) -> None:  # type: ignore[no-untyped-def]
    table = pq.read_table(shard.kept)
    images = list(read_kept(shard.kept))
    assert count_images(shard.kept) == len(images) == 4
    assert count_masks(shard.kept) == table.num_rows
    assert [row["mask_id"] for image in images for row in image.rows] == table["mask_id"].to_pylist()
    assert all(row["image_id"] == image.image_id for image in images for row in image.rows)


def test_parents_are_indices(shard) -> None:  # type: ignore[no-untyped-def]
    for image in read_kept(shard.kept):
        parents = image.parents()
        ids = [image.rows[parent]["mask_id"] if parent >= 0 else -1 for parent in parents]
        assert ids == [row["parent_mask_id"] for row in image.rows]
        assert (parents >= 0).any()


def test_pixels_of_the_masks(shard) -> None:  # type: ignore[no-untyped-def]
    rejected: Counter[str] = Counter()
    for kept, image in decoded(read_kept(shard.kept), shard.tar, rejected):
        assert image.shape == (kept.height, kept.width, 3)
        assert kept.masks().areas().tolist() == [row["area"] for row in kept.rows]
    assert not rejected


def test_broken_pictures_are_counted(shard, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    images = list(read_kept(shard.kept))
    data = bytearray(shard.tar.read_bytes())
    start = images[1].jpeg_offset
    data[start : start + images[1].jpeg_bytes] = bytes(images[1].jpeg_bytes)
    broken = tmp_path / "broken.tar"
    broken.write_bytes(data)
    rejected: Counter[str] = Counter()
    found = [image is None for _, image in decoded(images, broken, rejected)]
    assert found == [False, True, False, False]
    assert rejected == {"the JPEG can't be decoded": 1}


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "kept.parquet"
    path.write_bytes(b"no")
    for read in (lambda path: list(read_kept(path)), count_images, count_masks):
        with pytest.raises(UserError, match="filtered_masks"):
            read(path)
    with pytest.raises(UserError, match="filtered_masks"):
        count_masks(tmp_path / "missing.parquet")
