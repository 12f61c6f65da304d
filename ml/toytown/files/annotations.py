"""COCO-style annotations of nodes, shared by the benchmarks that use them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ml.params import Params
from ml.toytown.files.shards import jpeg
from ml.toytown.world.draw import Drawing, draw
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.scene import SIDE, scene

INFO = {"description": "ARR-COC toytown", "version": "1.0", "year": 2026}
CATEGORY = {kind: number for number, kind in enumerate(KINDS, 1)}
FINE = 4  # outlines are traced on a mask this many times larger, so that they run around the pixels


def annotation(drawing: Drawing, node: int, number: int, image_id: int) -> dict[str, Any]:
    """A node as a COCO annotation: polygons, and a box xywh in pixels around all of them."""
    x0, y0, x1, y1 = drawing.boxes[node]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": CATEGORY[drawing.scene.nodes[node].kind],
        "segmentation": polygons(drawing.masks[node]),
        "area": float(drawing.areas[node]),
        "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)],
        "iscrowd": 0,
    }


def polygons(mask: np.ndarray) -> list[list[float]]:
    """Outlines [x0, y0, x1, y1, ...] in pixels of the pieces of a mask, holes filled."""
    fine = mask.view(np.uint8).repeat(FINE, 0).repeat(FINE, 1)
    found, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((outline.reshape(-1) + 0.5) / FINE).tolist() for outline in found if len(outline) > 2]


def write_jpeg(path: Path, drawing: Drawing) -> None:
    """Write the picture of a scene, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(drawing.image))


def write_lines(
    folder: Path, benchmark: str, images: int, params: Params, told: Callable[[Drawing], dict[str, Any]]
) -> None:
    """Write images and `<benchmark>_val.jsonl`, a line an image with what is `told` of its drawing."""
    rows = []
    for index in range(images):
        drawing = draw(scene(params.seed, index, f"{benchmark}/val"))
        file_name = f"{index + 1:012d}.jpg"
        write_jpeg(folder / "images" / file_name, drawing)
        rows.append({"file_name": file_name, "image_id": index + 1, **told(drawing)})
    (folder / f"{benchmark}_val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def image_record(number: int, file_name: str) -> dict[str, Any]:
    """An entry of COCO's `images`: `number` is its id."""
    return {"id": number, "file_name": file_name, "width": SIDE, "height": SIDE, "license": 0}
