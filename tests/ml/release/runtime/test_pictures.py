"""What is taken as an image: any JPEG or PNG, as RGB, the way up that viewers show."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from ml.release.runtime.pictures import ORIENTATION, decode_image

COLOUR = (200, 100, 40)


def encoded(mode: str, colour: object, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (6, 4), colour).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (encoded("RGB", COLOUR), COLOUR),
        (encoded("RGBA", (*COLOUR, 90)), COLOUR),
        (encoded("L", 77), (77, 77, 77)),
        (encoded("I;16", 77 * 256), (77, 77, 77)),
        (encoded("1", 1), (255, 255, 255)),
        (encoded("L", 77, "JPEG"), (77, 77, 77)),
    ],
    ids=["rgb", "rgba", "grey", "grey16", "bits", "jpeg"],
)
def test_any_png_or_jpeg_is_rgb(data: bytes, wanted: tuple[int, ...]) -> None:
    pixels = decode_image(data)
    assert (pixels.shape, pixels.dtype) == ((4, 6, 3), np.uint8)
    assert (pixels == wanted).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_picture_stands_upright(orientation: int, kind: str) -> None:
    sides = np.zeros((40, 64, 3), np.uint8)
    sides[:20, :32], sides[:20, 32:], sides[20:, :32] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = orientation
    Image.fromarray(sides).save(file, kind, exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue()))))
    found = decode_image(file.getvalue())
    assert found.shape == shown.shape == ((40, 64, 3) if orientation < 5 else (64, 40, 3))
    assert np.abs(found.astype(int) - shown).max() < 30
