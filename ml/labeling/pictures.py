"""A sample sheet: images with their masks and phrases, and the relevance of two queries as heat maps."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ml.masks import Masks
from ml.sa1b.reading.reader import decode, read_jpeg

Pixels = NDArray[np.uint8]
WIDTH, TITLE = 420, 24  # pixels of a panel, and of the line above it
COLORS = {"part": (255, 213, 79), "object": (255, 96, 80), "group": (64, 196, 255), "scene": (178, 255, 89)}
TARGET = (0, 229, 255)
FONT = ImageFont.load_default(13)


def sample_sheet(rows: Sequence[dict[str, Any]], tar: Path) -> bytes:
    """PNG bytes of a sheet, a line a row of `pseudo_labels`: its described masks, its first and last query of one."""
    lines = [np.concatenate(_panels(row, tar), axis=1) for row in rows]
    out = BytesIO()
    Image.fromarray(np.concatenate(lines)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _panels(row: dict[str, Any], tar: Path) -> list[Pixels]:
    height = round(row["height"] * WIDTH / row["width"])
    original = decode(read_jpeg(tar, row["jpeg_offset"], row["jpeg_bytes"]))
    image = cv2.resize(original, (WIDTH, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    masks = Masks.parse(row["counts"], (row["height"], row["width"]))
    shapes = [_shrunk(masks, i, (WIDTH, height)) for i in range(len(masks))]
    first = _phrases(image, shapes, row)
    if not row["queries"]:
        return [first, np.full_like(first, 255), np.full_like(first, 255)]
    present = [q for q, query in enumerate(row["queries"]) if query["target"] >= 0] or [0]
    return [first, *(_heat(image, shapes, row, q) for q in (present[0], present[-1]))]


def _shrunk(masks: Masks, index: int, size: tuple[int, int]) -> Pixels:
    return cv2.resize(masks.dense(index).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def _phrases(image: Pixels, shapes: Sequence[Pixels], row: dict[str, Any]) -> Pixels:
    """Outlines of all described masks; what is no part is named."""
    drawn = image.copy()
    described = [i for i, phrase in enumerate(row["phrases"]) if phrase]
    for i in described:
        outlines, _ = cv2.findContours(shapes[i], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, COLORS[row["levels"][i]], 1, cv2.LINE_AA)
    panel, pen = _titled(drawn, row["caption"])
    for i in (i for i in described if row["levels"][i] != "part"):
        x, y, w, h = np.array(row["boxes"][i]) * WIDTH / row["width"]
        half = pen.textlength(row["phrases"][i], FONT) / 2 + 1  # a name that is wider than its thing stays inside
        place = (min(max(x + w / 2, half), WIDTH - half), y + h / 2 + TITLE)
        pen.rectangle(pen.textbbox(place, row["phrases"][i], FONT, anchor="mm"), fill=(20, 20, 20))
        pen.text(place, row["phrases"][i], COLORS[row["levels"][i]], FONT, anchor="mm")
    return np.asarray(panel)


def _heat(image: Pixels, shapes: Sequence[Pixels], row: dict[str, Any], number: int) -> Pixels:
    """The relevance map, max over masks of mask x relevance, over the image in grey; the box of the target, if any."""
    query, relevance = row["queries"][number], np.array(row["relevance"][number], np.float32)
    heat = np.max([shape * value for shape, value in zip(shapes, relevance, strict=True)], axis=0)
    colors = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = image.mean(axis=2, keepdims=True)
    found = f"{relevance[query['target']]:.2f}" if query["target"] >= 0 else "absent"
    panel, pen = _titled((0.5 * grey + 0.5 * colors).astype(np.uint8), f"{query['text']}  {found}")
    if query["target"] >= 0:
        x, y, w, h = np.array(row["boxes"][query["target"]]) * WIDTH / row["width"]
        pen.rectangle((x - 2, y - 2 + TITLE, x + w + 2, y + h + 2 + TITLE), outline=TARGET)
    return np.asarray(panel)


def _titled(pixels: Pixels, title: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A panel with a line of text above the picture, and a pen to draw on it."""
    panel = Image.new("RGB", (WIDTH, pixels.shape[0] + TITLE), "white")
    panel.paste(Image.fromarray(pixels), (0, TITLE))
    pen = ImageDraw.Draw(panel)
    pen.text((6, TITLE / 2), title, "black", FONT, anchor="lm")
    return panel, pen
