from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from ml.errors import UserError
from ml.labeling.features import encode_shard
from ml.labeling.kept import read_kept
from ml.models.frozen.sam import Sam, SamConfig, build_sam
from ml.params import Features
from ml.sa1b.reading.padding import to_frame
from ml.sa1b.reading.reader import decode, read_jpeg


@pytest.fixture(scope="module")
def sam() -> Sam:
    """Untrained: what is tested is where its outputs go."""
    torch.manual_seed(0)
    config = SamConfig("tiny", image_size=64, width=32, depth=1, heads=2, channels=32)
    return Sam(build_sam(config), config)


def test_each_view_of_each_image(shard: Any, sam: Sam, tmp_path: Path) -> None:
    out = tmp_path / "features.safetensors"
    report = encode_shard(shard.kept, shard.tar, out, sam, Features(flip=True, batch_size=3))
    stored = load_file(out)
    images = list(read_kept(shard.kept))
    assert stored["image_ids"].tolist() == [image.image_id for image in images]
    assert stored["features"].shape == (2, 4, 32, 4, 4)
    assert stored["features"].dtype == np.float16
    assert report.numbers["images"] == 4
    for place, kept in enumerate(images):
        pixels = decode(read_jpeg(shard.tar, kept.jpeg_offset, kept.jpeg_bytes))
        for view, picture in enumerate((pixels, pixels[:, ::-1])):
            alone = sam.encode(torch.from_numpy(to_frame(picture, 64))[None])[0].numpy()
            np.testing.assert_allclose(stored["features"][view, place], alone, atol=5e-3)
    assert not np.allclose(stored["features"][0], stored["features"][1], atol=5e-2)


def test_one_view_and_the_same_bytes(shard: Any, sam: Sam, tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for out in (first, second):
        encode_shard(shard.kept, shard.tar, out, sam, Features(flip=False, batch_size=2))
    assert load_file(first)["features"].shape[0] == 1
    assert first.read_bytes() == second.read_bytes()


def test_nothing_is_encoded_that_training_does_not_read(shard: Any, sam: Sam, tmp_path: Path) -> None:
    out = tmp_path / "features.safetensors"
    report = encode_shard(shard.kept, shard.tar, out, sam, Features(flip=True, batch_size=3), cached=False)
    assert load_file(out)["features"].size == 0 and report.numbers["images"] == 0


def test_a_broken_picture_leaves_its_place(shard: Any, sam: Sam, tmp_path: Path) -> None:
    data = bytearray(shard.tar.read_bytes())
    broken = list(read_kept(shard.kept))[2]
    data[broken.jpeg_offset : broken.jpeg_offset + broken.jpeg_bytes] = bytes(broken.jpeg_bytes)
    tar = tmp_path / "broken.tar"
    tar.write_bytes(data)
    out = tmp_path / "features.safetensors"
    report = encode_shard(shard.kept, tar, out, sam, Features(flip=False, batch_size=2))
    stored = load_file(out)
    assert [int(i) for i in stored["image_ids"]].index(-1) == 2
    assert not stored["features"][0, 2].any()
    assert stored["features"][0, 3].any()
    assert report.rejected == {"the JPEG can't be decoded": 1}


def test_a_missing_tar(shard: Any, sam: Sam, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sa1b_shards"):
        encode_shard(shard.kept, tmp_path / "no.tar", tmp_path / "out", sam, Features(flip=False, batch_size=2))
    assert list(tmp_path.iterdir()) == []
