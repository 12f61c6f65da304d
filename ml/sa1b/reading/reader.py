"""An image's JPEG straight out of its shard, decoded no larger than it is looked at."""

import io
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from ml.errors import UserError

MAX_SIDE = 65535  # of any JPEG
DIVISORS = (8, 4, 2)  # libjpeg-turbo also has 3/8, 5/8, 3/4, 7/8, but without SIMD: slower than the whole image


def read_jpeg(tar: Path, offset: int, nbytes: int) -> bytes:
    """The bytes of a member at its `offset` in the tar.

    Raises:
        UserError: the tar is missing or shorter than the index says.
    """
    try:
        with tar.open("rb", buffering=0) as file:
            file.seek(offset)
            data = file.read(nbytes)
    except OSError as error:
        raise UserError(f"{tar}: not readable ({error.strerror}); run sa1b_shards for it again") from error
    if len(data) != nbytes:
        raise UserError(f"{tar}: {len(data)} bytes at {offset}, {nbytes} wanted; run mask_index for it again")
    return data


def decode(data: bytes, least: tuple[int, int] = (MAX_SIDE, MAX_SIDE)) -> np.ndarray:
    """Decode a JPEG to uint8 [H, W, 3] RGB, stored orientation (EXIF is not applied).

    Args:
        least: height and width below which it must not fall, where it is that large; it comes at 1/8, 1/4 or 1/2 of
            its size if that reaches them, which libjpeg-turbo has cheaply from the DCT. By default as stored.

    Raises:
        UserError: neither libjpeg-turbo nor Pillow can read it.
    """
    try:
        height, width = _reduced(data, least)
        return simplejpeg.decode_jpeg(data, colorspace="RGB", min_height=height, min_width=width)
    except ValueError:  # CMYK and other colour spaces, and warnings that Pillow knows how to take
        pass
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return np.array(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"a JPEG of {len(data)} bytes can't be decoded: {error}") from error


def _reduced(data: bytes, least: tuple[int, int]) -> tuple[int, int]:
    """The height and width at which a JPEG is decoded."""
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    sizes = ((-(-height // divisor), -(-width // divisor)) for divisor in DIVISORS)
    return next((size for size in sizes if size[0] >= least[0] and size[1] >= least[1]), (height, width))
