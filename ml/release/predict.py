"""`arrcoc predict`: one image, one query, from the released package; a picture of the answer beside it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.errors import UserError, cut
from ml.release.runtime.pictures import decode_image, overlay
from ml.release.runtime.predictor import Predictor, found
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path


def predict(ws: Workspace, image: Path, query: str, out: Path | None = None) -> dict[str, Any]:
    """Answer a query on an image file; write the overlay and name it under "overlay".

    Raises:
        UserError: the image cannot be read, the query is empty, `out` is a folder, or there is no released model.
    """
    asked, target = judged(query), place(out or ws.root / "predictions" / f"{image.stem}.png")
    pixels = read_image(image)
    predictor = Predictor(ws.stage("released_model") / "package")
    return drawn(pixels, found(*predictor.predict(pixels, [asked]), [asked], 0), target)


def judged(query: str) -> str:
    """A query without the space around it.

    Raises:
        UserError: it is empty.
    """
    if not query.strip():
        raise UserError("the query is empty; say what to look for, for example: arrcoc predict IMAGE 'the red car'")
    return query.strip()


def place(target: Path) -> Path:
    """Where the picture goes.

    Raises:
        UserError: it is a folder.
    """
    if target.is_dir():
        raise UserError(f"{target}: a folder; the picture needs the name of a file, for example --out {target}/a.png")
    return target


def drawn(pixels: NDArray[np.uint8], answered: dict[str, Any], target: Path) -> dict[str, Any]:
    """The answer, its picture written and named under "overlay"."""
    with atomic_path(target) as tmp:
        overlay(pixels, answered).save(tmp, "PNG", compress_level=1)  # a third of a second less than 6
    return {**answered, "overlay": str(target)}


def read_image(path: Path) -> NDArray[np.uint8]:
    """A JPEG or PNG file as uint8 RGB `[H, W, 3]`, upright.

    Raises:
        UserError: missing, or not an image that can be decoded.
    """
    try:
        return decode_image(path.read_bytes())
    except (OSError, UserError) as error:
        reason = cut(str(error), 160)
        raise UserError(f"{path}: not readable as an image ({reason}); give a JPEG or PNG file") from error
