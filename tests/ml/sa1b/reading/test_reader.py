"""JPEGs out of a tar, usual and odd."""

import io
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from tiny_shards import jpeg

from ml.errors import UserError
from ml.sa1b.reading.reader import decode, read_jpeg

SMOOTH = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (48, 64, 3))


def encode(mode: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(SMOOTH)).convert(mode).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_decode(mode: str) -> None:
    decoded = decode(encode(mode))
    assert (decoded.dtype, decoded.shape) == (np.uint8, (48, 64, 3))
    assert np.abs(decoded.astype(int) - SMOOTH).max() <= 8


@pytest.mark.parametrize(
    ("least", "shape"),
    [
        ((48, 64), (48, 64)),
        ((25, 32), (48, 64)),
        ((24, 32), (24, 32)),
        ((12, 17), (24, 32)),
        ((12, 16), (12, 16)),
        ((1, 1), (6, 8)),
        ((500, 1), (48, 64)),
    ],
)
def test_decoded_no_larger_than_asked(least: tuple[int, int], shape: tuple[int, int]) -> None:
    small = decode(encode("RGB"), least)
    assert small.shape == (*shape, 3)
    step = 64 // shape[1]
    means = SMOOTH.reshape(shape[0], step, shape[1], step, 3).mean((1, 3))
    assert np.abs(small - means).max() <= 8


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 1), (17, 33)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    data = simplejpeg.encode_jpeg(np.zeros((*size, 3), np.uint8))
    assert decode(data).shape[:2] == size
    for least in ((1, 1), (2, 2), (5, 9)):
        found = decode(data, least).shape[:2]
        assert found == size or (found[0] >= least[0] and found[1] >= least[1])


def test_rotation_in_exif_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encode("RGB", exif=exif)).shape == (48, 64, 3)


@pytest.mark.parametrize("data", [b"", b"no JPEG", jpeg()[:200]])
def test_what_can_not_be_decoded(data: bytes) -> None:
    with pytest.raises(UserError, match="can't be decoded"):
        decode(data)


def test_reading_past_the_end(tmp_path: Path) -> None:
    tar = tmp_path / "a.tar"
    tar.write_bytes(b"12345")
    assert read_jpeg(tar, 1, 3) == b"234"
    with pytest.raises(UserError, match="2 bytes at 3, 9 wanted"):
        read_jpeg(tar, 3, 9)
    with pytest.raises(UserError, match="run sa1b_shards"):
        read_jpeg(tmp_path / "none.tar", 0, 1)
