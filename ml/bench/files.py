"""Files in SA-1B's layout and of its size for the benchmarks: real ones by their path, or toytown's enlarged."""

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ml.errors import UserError

WIDTH, HEIGHT = 2250, 1500  # SA-1B's shorter side is 1500
JPEG_QUALITY = 90


@dataclass(frozen=True)
class Pair:
    """One image as SA-1B has it: the JPEG's bytes and the JSON's object."""

    jpeg: bytes
    record: dict[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.record["image"]["height"], self.record["image"]["width"]

    @property
    def counts(self) -> list[str]:
        """The masks' compressed run lengths."""
        return [annotation["segmentation"]["counts"] for annotation in self.record["annotations"]]


def read_pair(path: Path | None) -> Pair:
    """The pair of a JSON and the JPEG beside it; without a path a toytown scene at SA-1B's size.

    Raises:
        UserError: one of the two can't be read.
    """
    if path is None:
        return enlarged_scene()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(record, dict) and record.get("image") and record.get("annotations")):
            raise ValueError("no image or no annotations in it")
        return Pair(path.with_suffix(".jpg").read_bytes(), record)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a JSON of SA-1B with its .jpg beside it ({error})") from error


def enlarged_scene() -> Pair:
    """A toytown scene of 1500 x 2250 pixels, the same each time."""
    from ml.masks import Masks
    from ml.toytown.files.shards import jpeg, record
    from ml.toytown.world.draw import draw
    from ml.toytown.world.scene import scene

    drawing = draw(scene(0, 0, "bench"))
    content = record(drawing, 1)
    small = [annotation["segmentation"] for annotation in content["annotations"]]
    masks = Masks.parse([rle["counts"] for rle in small], small[0]["size"])
    large = Masks.from_dense(np.stack([_enlarged(masks.dense(i)) for i in range(len(masks))]))
    measured = zip(large.to_strings(), large.areas().tolist(), large.boxes().tolist(), strict=True)
    annotations = [
        {**old, "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}, "area": area, "bbox": box}
        for old, (counts, area, box) in zip(content["annotations"], measured, strict=True)
    ]
    picture = cv2.resize(drawing.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)  # toytown's grain was smoothed away
    image = {**content["image"], "width": WIDTH, "height": HEIGHT}
    return Pair(jpeg(np.clip(picture + noise, 0, 255).astype(np.uint8)), {"image": image, "annotations": annotations})


def write_shard(folder: Path, pair: Pair, images: int) -> Path:
    """A tar of `images` copies of a pair, each with an id and names of its own."""
    path = folder / "sa_000000.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(1, images + 1):
            image = {**pair.record["image"], "image_id": number, "file_name": f"sa_{number}.jpg"}
            text = json.dumps({**pair.record, "image": image}).encode()
            for name, data in ((f"sa_{number}.jpg", pair.jpeg), (f"sa_{number}.json", text)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def _enlarged(mask: np.ndarray) -> np.ndarray:
    """A smooth outline at the larger size."""
    return cv2.resize(mask.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) > 0.5
