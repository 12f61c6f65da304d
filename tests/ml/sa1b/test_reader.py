"""JPEGs out of a tar, usual and odd."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_shards import jpeg

from ml.errors import UserError
from ml.sa1b.reader import decode, read_jpeg

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
