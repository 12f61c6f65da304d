"""Shards in SA-1B's layout, small and made on the fly."""

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from ml.masks import Masks

WIDTH, HEIGHT = 48, 32


def jpeg(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    return simplejpeg.encode_jpeg(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))


def annotation(mask: np.ndarray, mask_id: int, **changes: Any) -> dict[str, Any]:
    masks = Masks.from_dense(mask[None])
    return {
        "id": mask_id,
        "segmentation": {"size": list(mask.shape), "counts": masks.to_strings()[0]},
        "bbox": masks.boxes()[0].tolist(),
        "area": int(mask.sum()),
        "predicted_iou": 0.97,
        "stability_score": 0.98,
        "point_coords": [[1.5, 2.5]],
        "crop_box": [0.0, 0.0, 48.0, 32.0],
        **changes,
    }


def rectangle(x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + h, x : x + w] = True
    return mask


def record(image_id: int, annotations: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The JSON of one image: by default three masks, ids image_id * 10 and on."""
    shapes = [rectangle(2, 3, 20, 20), rectangle(5, 6, 6, 7), rectangle(30, 4, 10, 25)]
    default = [annotation(shape, image_id * 10 + n) for n, shape in enumerate(shapes)]
    image = {"image_id": image_id, "width": WIDTH, "height": HEIGHT, "file_name": f"sa_{image_id}.jpg"}
    return {"image": image, "annotations": default if annotations is None else annotations}


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], form: int = tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def pair(image_id: int, changes: Callable[[dict[str, Any]], object] = lambda raw: None) -> list[tuple[str, bytes]]:
    """The two members of one image; `changes` edits its JSON."""
    raw = record(image_id)
    changes(raw)
    return [(f"sa_{image_id}.jpg", jpeg(image_id)), (f"sa_{image_id}.json", json.dumps(raw).encode())]
