"""An image's JPEG straight out of its shard."""

import io
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from ml.errors import UserError


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


def decode(data: bytes) -> np.ndarray:
    """Decode a JPEG to uint8 [H, W, 3] RGB, stored orientation (EXIF is not applied).

    Raises:
        UserError: neither libjpeg-turbo nor Pillow can read it.
    """
    try:
        return simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError:  # CMYK and other colour spaces, and warnings that Pillow knows how to take
        pass
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return np.array(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"a JPEG of {len(data)} bytes can't be decoded: {error}") from error
