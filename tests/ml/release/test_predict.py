"""What `arrcoc predict` and the registered model take as an image: any JPEG or PNG, as RGB."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.errors import UserError
from ml.release.predict import predict, read_image
from ml.workspace import Workspace

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
def test_any_png_or_jpeg_is_rgb(tmp_path: Path, data: bytes, wanted: tuple[int, ...]) -> None:
    from ml.release.pyfunc import _pixels

    path = tmp_path / "image"
    path.write_bytes(data)
    for pixels in (read_image(path), _pixels(str(path)), _pixels(base64.b64encode(data).decode())):
        assert (pixels.shape, pixels.dtype) == ((4, 6, 3), np.uint8)
        assert (pixels == wanted).all()


@pytest.mark.parametrize("data", [b"", b"GIF89a", encoded("RGB", COLOUR)[:50], encoded("RGB", COLOUR, "JPEG")[:50]])
def test_what_is_no_image_is_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"image\.png: not readable as an image \(.*\); give a JPEG or PNG file"):
        read_image(path)


def test_a_folder_is_no_place_for_the_picture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder; the picture needs the name of a file"):
        predict(Workspace(tmp_path), tmp_path / "image.png", "the house", tmp_path)
