"""Pictures that come in, whichever way up, and the picture of an answer."""

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from pycocotools import mask as coco

from ml.errors import UserError
from ml.sa1b.reading.reader import decode

COLOURS = {"part": (255, 196, 0), "object": (0, 200, 120), "group": (60, 140, 255), "scene": (200, 90, 255)}
PANEL = 640  # pixels, the longest side of each of the two panels
SHOWN = 5  # masks in the legend
TITLE, LINE = 28, 18  # pixels above the panels, and of a line below them
NUMBER = ImageFont.load_default(13)
PNG = b"\x89PNG"  # how every one begins
ORIENTATION = 0x0112  # of EXIF; 1 is upright


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """The bytes of a JPEG or PNG as uint8 RGB `[H, W, 3]`, upright as viewers show it (EXIF orientation).

    Grey is spread over the channels, transparency dropped.

    Raises:
        UserError: neither of the two, or broken.
    """
    kind = "PNG" if data.startswith(PNG) else "JPEG"
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            if kind == "JPEG" and image.getexif().get(ORIENTATION, 1) == 1:
                return decode(data)  # as the model was trained
            deep = image.mode.startswith("I")  # 16 bits, which Pillow would clip at 255
            plain = (image.point(lambda value: value / 256, "L") if deep else image).convert("RGB")
            return np.array(ImageOps.exif_transpose(plain))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: a broken chunk
        raise UserError(f"a {kind} of {len(data)} bytes can't be decoded: {error}") from error


def overlay(image: NDArray[np.uint8], found: dict[str, Any]) -> Image.Image:
    """Two panels: the relevance map (max over masks of mask x relevance), and the ranked masks with the box."""
    scale = PANEL / max(image.shape[:2])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    left, right = _heat(image, found).resize(size), _outlines(image, found, size, scale)
    lines: list[tuple[str, str | tuple[int, int, int]]] = [
        (f"{rank}. {mask['level']}  relevance {mask['relevance']:.2f}  area {mask['area']} px", COLOURS[mask["level"]])
        for rank, mask in enumerate(found["masks"][:SHOWN], 1)
    ]
    lines.insert(0, ("masks by relevance, their numbers in the picture; red: the box that answers", "black"))
    sheet = Image.new("RGB", (2 * size[0] + 8, TITLE + size[1] + LINE * len(lines) + 8), "white")
    sheet.paste(left, (0, TITLE))
    sheet.paste(right, (size[0] + 8, TITLE))
    draw = ImageDraw.Draw(sheet)
    draw.text((6, 5), f"{verdict(found)}   score {found['score']:.2f}", "black", ImageFont.load_default(15))
    for number, (line, colour) in enumerate(lines):
        draw.text((6, TITLE + size[1] + 4 + LINE * number), line, colour, ImageFont.load_default(14))
    return sheet


def verdict(found: dict[str, Any]) -> str:
    """What was asked, or that nothing here is that."""
    return f"“{found['query']}”" if found["present"] else f"nothing here is “{found['query']}”; the nearest:"


def _masks(found: dict[str, Any]) -> list[NDArray[np.bool_]]:
    """The shown masks at full size, one at a time in memory's terms: a handful."""
    return [coco.decode(mask["segmentation"]).astype(bool) for mask in found["masks"][:SHOWN]]


def _heat(image: NDArray[np.uint8], found: dict[str, Any]) -> Image.Image:
    heat = np.zeros(image.shape[:2], np.float32)
    for mask, dense in zip(found["masks"], _masks(found), strict=False):
        heat = np.maximum(heat, dense * mask["relevance"])
    colours = cv2.cvtColor(cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return Image.fromarray((0.45 * image + 0.55 * colours).astype(np.uint8))


def _outlines(image: NDArray[np.uint8], found: dict[str, Any], size: tuple[int, int], scale: float) -> Image.Image:
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for mask, dense in reversed(list(zip(found["masks"], _masks(found), strict=False))):
        small = cv2.resize(dense.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(canvas, contours, -1, COLOURS[mask["level"]], 2)
    panel = Image.fromarray(canvas)
    pen = ImageDraw.Draw(panel)
    if found["box"]:
        x, y, w, h = (value * scale for value in found["box"])
        pen.rectangle((x, y, x + w, y + h), outline=(255, 40, 40), width=3)
    for rank, mask in reversed([*enumerate(found["masks"][:SHOWN], 1)]):
        x, y = (value * scale + 4 for value in mask["box"][:2])
        pen.rectangle(pen.textbbox((x, y), str(rank), NUMBER), fill=(20, 20, 20))
        pen.text((x, y), str(rank), COLOURS[mask["level"]], NUMBER)
    return panel
