"""Training shards: SA-1B tars of scenes, with masks as an automatic mask generator would leave them.

The files hold what SA-1B's hold and nothing of the truth: no kind, no colour, no level, and masks in random order.
"""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from pycocotools import mask as coco_mask

from ml.params import Params
from ml.toytown.world.draw import Drawing, draw
from ml.toytown.world.scene import SIDE, Scene, random_for, scene
from ml.workspace.atomic import atomic_path
from ml.workspace.report import Report

JPEG_QUALITY = 92
LEAST = 12  # visible pixels a node needs to get a mask
RAGGED, DUPLICATE, BITTEN, EMPTY, SPECK = 0.25, 0.15, 0.1, 0.1, 0.4  # how often each flaw occurs

Annotation = dict[str, Any]


def shard_name(shard_index: int) -> str:
    """A shard's name as SA-1B writes it: "sa_000012" for 12."""
    return f"sa_{shard_index:06d}"


def shard_scene(shard_index: int, index: int, params: Params) -> Scene:
    """The scene of image `index` of a shard; its image id is `image_id(shard_index, index, params)`."""
    return scene(params.seed, index, shard_name(shard_index))


def shard_drawing(shard_index: int, index: int, params: Params) -> Drawing:
    """What image `index` of a shard shows.

    The last of the first shard are copies of benchmark images, planted to be found: one as it is, one mirrored, one
    made smaller and larger again.
    """
    place = index - params.toytown.images_per_shard + len(PLANTED)
    if shard_index or place < 0:
        return draw(shard_scene(shard_index, index, params))
    benchmark, change = PLANTED[place]
    return change(draw(scene(params.seed, 0, benchmark)))


def _same(drawing: Drawing) -> Drawing:
    return drawing


def _mirrored(drawing: Drawing) -> Drawing:
    return replace(drawing, image=drawing.image[:, ::-1], owner=drawing.owner[:, ::-1])


def _coarser(drawing: Drawing) -> Drawing:
    small = cv2.resize(drawing.image, (SIDE * 5 // 8, SIDE * 5 // 8), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return replace(drawing, image=large.astype(np.uint8, copy=False))


PLANTED = (("flickr30k/test", _same), ("lvis/val", _mirrored), ("relevance/val", _coarser))  # of each its first image


def image_id(shard_index: int, index: int, params: Params) -> int:
    """Unique across shards, from 1."""
    return shard_index * params.toytown.images_per_shard + index + 1


def write_shard(shard_index: int, params: Params, path: Path) -> Report:
    """Write one shard as an uncompressed tar, sa_N.jpg and sa_N.json an image; the same bytes each time."""
    masks = 0
    with atomic_path(path) as tmp, tarfile.open(tmp, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index in range(params.toytown.images_per_shard):
            number = image_id(shard_index, index, params)
            drawing = shard_drawing(shard_index, index, params)
            content = record(drawing, number)
            masks += len(content["annotations"])
            _add(tar, f"sa_{number}.jpg", jpeg(drawing.image))
            _add(tar, f"sa_{number}.json", json.dumps(content).encode())
    size = path.stat().st_size
    return Report(numbers={"images": params.toytown.images_per_shard, "masks": masks, "bytes": size})


def jpeg(image: np.ndarray) -> bytes:
    """Encode uint8 [H, W, 3] RGB."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), JPEG_QUALITY, "RGB")


def record(drawing: Drawing, number: int) -> dict[str, Any]:
    """The JSON of one image in SA-1B's layout."""
    rng = random_for(f"{drawing.scene.key}/masks")
    found = [_annotation(mask, iou, rng) for mask, iou in proposals(drawing, rng)]
    ids = number * 1000 + np.cumsum(rng.integers(1, 4, len(found)))
    annotations = [{**found[i], "id": int(ids[n])} for n, i in enumerate(rng.permutation(len(found)))]
    image = {"image_id": number, "width": SIDE, "height": SIDE, "file_name": f"sa_{number}.jpg"}
    return {"image": image, "annotations": annotations}


def proposals(drawing: Drawing, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """Masks (bool [H, W]) of every visible node and their flawed relatives, each with its true IoU."""
    found = []
    for node in np.flatnonzero(drawing.areas >= LEAST):
        truth = drawing.masks[node]
        found.append(_compared(imprecise(truth, rng), truth))
        if rng.random() < DUPLICATE:
            found.append(_compared(imprecise(truth, rng), truth))
        if rng.random() < RAGGED:
            found.append(_compared(imprecise(truth, rng, strength=_ragged(truth, rng)), truth))
        if rng.random() < BITTEN:
            found.append(_compared(_bitten(truth, rng), truth))
    if rng.random() < SPECK:
        found.append((_speck(rng), float(rng.uniform(0.2, 0.8))))
    if rng.random() < EMPTY:
        found.append((np.zeros((SIDE, SIDE), bool), 0.0))
    return found


def imprecise(mask: np.ndarray, rng: np.random.Generator, strength: float = 0.5) -> np.ndarray:
    """The mask with an edge that wanders by about `strength` pixels (0.5: as a good segmenter draws it)."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    x0, y0, x1, y1 = max(0, x - 6), max(0, y - 6), min(SIDE, x + w + 6), min(SIDE, y + h + 6)
    soft = cv2.GaussianBlur(mask[y0:y1, x0:x1].astype(np.float32), (0, 0), 0.6 + 0.4 * strength)
    coarse = rng.standard_normal(((y1 - y0) // 4 + 1, (x1 - x0) // 4 + 1), np.float32)
    wander = cv2.resize(coarse, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC)
    moved = np.zeros_like(mask)
    moved[y0:y1, x0:x1] = soft + 0.22 * strength * wander > 0.5
    return moved if moved.any() else mask


def _ragged(mask: np.ndarray, rng: np.random.Generator) -> float:
    """A strength that spoils large masks as much as small ones."""
    return float(min(4, rng.uniform(0.12, 0.25) * mask.sum() ** 0.5))


def _bitten(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask that lost one side."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    cut = mask.copy()
    if rng.random() < 0.5:
        cut[:, : x + int(w * rng.uniform(0.3, 0.6))] = False
    else:
        cut[: y + int(h * rng.uniform(0.3, 0.6))] = False
    return cut if cut.any() else mask


def _speck(rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    x, y = rng.integers(0, SIDE - 4, 2)
    mask[y : y + rng.integers(1, 4), x : x + rng.integers(1, 4)] = True
    return mask


def _compared(mask: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    return mask, float((mask & truth).sum() / (mask | truth).sum())


def _annotation(mask: np.ndarray, iou: float, rng: np.random.Generator) -> Annotation:
    """One mask in SA-1B's fields; the scores follow its true IoU as SAM's predictions do, with error."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {
        "bbox": [float(x), float(y), float(max(w - 1, 0)), float(max(h - 1, 0))],
        "area": int(mask.sum()),
        "segmentation": {"size": [SIDE, SIDE], "counts": rle["counts"].decode()},
        "predicted_iou": float(np.clip(_score(iou) + rng.normal(0, 0.015), 0, 1.06)),
        "point_coords": [_prompt(mask, rng)],
        "crop_box": _crop_box((x, y, w, h), rng),
        "stability_score": float(np.clip(0.985 - 0.35 * (1 - _score(iou)) + rng.normal(0, 0.006), 0, 1)),
    }


def _score(iou: float) -> float:
    """What SAM predicts of a mask: an edge off by a fraction of a pixel costs a thin part much IoU, but no trust."""
    return float(np.interp(iou, [0, 0.55, 0.72, 0.9, 1], [0, 0.6, 0.89, 0.99, 1.01]))


def _prompt(mask: np.ndarray, rng: np.random.Generator) -> list[float]:
    """A point of the mask, x and y in pixels, at a pixel's middle."""
    inside = np.flatnonzero(mask)
    y, x = divmod(int(inside[rng.integers(len(inside))] if len(inside) else rng.integers(mask.size)), SIDE)
    return [float(x) + 0.5, float(y) + 0.5]


def _crop_box(box: tuple[int, int, int, int], rng: np.random.Generator) -> list[float]:
    """The whole image, or for a small mask the crop that holds it, xywh."""
    x, y, w, h = box
    side = SIDE * 5 // 8
    if max(w, h) > side // 3 or rng.random() < 0.5:
        return [0.0, 0.0, float(SIDE), float(SIDE)]
    left, top = (0 if start + length <= side else SIDE - side for start, length in ((x, w), (y, h)))
    return [float(left), float(top), float(side), float(side)]


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member without times, owners or anything else that changes between machines."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
