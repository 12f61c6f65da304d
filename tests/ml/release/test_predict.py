"""`arrcoc predict` says in a line what it cannot take."""

import io
from pathlib import Path

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


@pytest.mark.parametrize("data", [b"", b"GIF89a", encoded("RGB", COLOUR)[:50], encoded("RGB", COLOUR, "JPEG")[:50]])
def test_what_is_no_image_is_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"image\.png: not readable as an image \(.*\); give a JPEG or PNG file"):
        read_image(path)


def test_a_folder_is_no_place_for_the_picture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder; the picture needs the name of a file"):
        predict(Workspace(tmp_path), tmp_path / "image.png", "the house", tmp_path)
