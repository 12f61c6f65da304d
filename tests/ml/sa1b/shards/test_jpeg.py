"""JPEG headers against Pillow's encoder, and JPEGs that must not reach a decoder."""

import io

import numpy as np
import pytest
from PIL import Image

from ml.sa1b.shards.jpeg import Header, read_header

PIXELS = np.random.default_rng(0).integers(0, 255, (30, 41, 3), np.uint8)


def encode(mode: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def header(data: bytes) -> Header | str:
    return read_header(lambda at, length: data[at : at + length], len(data))


def with_frame(**changes: int) -> bytes:
    """A JPEG whose frame header claims something else."""
    data = bytearray(encode("RGB"))
    at = data.index(b"\xff\xc0")
    if "bits" in changes:
        data[at + 4] = changes["bits"]
    if "side" in changes:
        data[at + 5 : at + 9] = changes["side"].to_bytes(2, "big") * 2
    if "components" in changes:
        data[at + 9] = changes["components"]
    return bytes(data)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"c" * 9000}])
def test_size_as_stored(mode: str, options: dict) -> None:
    assert header(encode(mode, **options)) == Header(41, 30)


def test_rotation_in_exif_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert header(encode("RGB", exif=exif)) == Header(41, 30)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a JPEG"),
        (b"\x89PNG\r\n", "a PNG, not a JPEG"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP, not a JPEG"),
        (b"<!doctype html>", "a web page, not a JPEG"),
        (b"\xff\xd8" + b"\xff" * 100_000, "a JPEG without a frame header"),
        (encode("RGB")[:-400], "the JPEG is cut: no end marker"),
        (b"\xff\xd8\xff\xd9", "a JPEG without a frame header"),
        (b"\xff\xd8" + bytes(40) + b"\xff\xd9", "a JPEG without a frame header"),
        (with_frame(side=30000), "a JPEG of 30000 x 30000 pixels"),
        (with_frame(side=0), "a JPEG of 0 x 0 pixels"),
        (with_frame(bits=16), "a JPEG of 16 bits a sample, not 8"),
        (with_frame(components=2), "a JPEG of 2 components, not 1, 3 or 4"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    assert header(data) == reason
