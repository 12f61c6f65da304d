"""Reading samples for training against the Dataset one would write with PIL and pycocotools."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from pycocotools import mask as coco
from torch import Tensor
from torch.utils.data import Dataset

from ml.bench.files import Pair, read_pair, write_shard
from ml.bench.measure import Row, rates, result, seconds
from ml.masks import Frame
from ml.sa1b.dataset import ARRCOCDataset
from ml.sa1b.frames import CELL, MEAN_COLOUR, least_size, padded, shown
from ml.sa1b.reader import decode
from ml.sa1b.tar import walk

FRAME = Frame(None, False, 1024)
IMAGES = 4
QUERIES = 36  # an image with preset sa1b: a phrase for each of 20 masks, and 16 spatial ones
KEPT = 20  # masks an image with preset sa1b
FAST, SLOW = 15, 3  # repeats
PLAIN = "Dataset of extracted files: PIL, json, pycocotools mask by mask, area weights as matrix products"


class Sources(NamedTuple):
    """The same images for both: tar and label table for ours, extracted files for the peer."""

    tar: Path
    labels: Path
    extracted: Path


def bench(path: Path | None = None) -> dict[str, Any]:
    """Measure on a JSON of SA-1B and its JPEG, or on a toytown scene at SA-1B's size; one core, processor time.

    Raises:
        UserError: the file can't be read.
    """
    pair = read_pair(path)
    with one_thread():
        return result("loader", [*_samples(pair), _image(pair), *_decoding(pair)])


@contextmanager
def one_thread() -> Iterator[None]:
    """One core for whatever torch computes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _samples(pair: Pair) -> list[Row]:
    masks = len(pair.counts)
    return [_sampling(pair, count) for count in sorted({min(masks, KEPT), masks}, reverse=True)]


def _sampling(pair: Pair, masks: int) -> Row:
    """Whole samples: frame, coverage on the feature grid, text and relevance."""
    with TemporaryDirectory() as folder:
        sources = write(Path(folder), pair, masks)
        ours = ARRCOCDataset([sources.labels], [sources.tar], FRAME.out)
        peer = PlainDataset(sources.extracted, IMAGES)
        mine = IMAGES / seconds(lambda: [ours[i * QUERIES] for i in range(IMAGES)], FAST)
        plain = IMAGES / seconds(lambda: [peer[i] for i in range(IMAGES)], SLOW)
    case = f"sample with {masks} masks of {_size(pair)} on a grid of {FRAME.out // CELL}"
    return rates(case, mine, plain, PLAIN, "samples/s")


def _image(pair: Pair) -> Row:
    """The image alone in the frame: what is left when masks cost nothing."""

    def ours() -> Tensor:
        return padded(shown(decode(pair.jpeg, least_size(FRAME, pair.size)), FRAME, pair.size), FRAME.out)

    mine, plain = 1 / seconds(ours, FAST), 1 / seconds(lambda: plain_frame(pair.jpeg), FAST)
    return rates(f"image of {_size(pair)} in the frame, no masks", mine, plain, "PIL", "images/s")


def _decoding(pair: Pair) -> list[Row]:
    """Where the JPEG's own limit lies: at any scale its Huffman codes have to be read."""
    plain = 1 / seconds(lambda: np.array(Image.open(io.BytesIO(pair.jpeg)).convert("RGB")), FAST)
    sizes = {divisor: tuple(-(-edge // divisor) for edge in pair.size) for divisor in (1, 2, 4, 8)}
    return [
        rates(
            f"JPEG alone, {len(pair.jpeg) / 1e6:.1f} MB, at 1/{divisor}",
            1 / seconds(lambda size=size: decode(pair.jpeg, size), FAST),  # type: ignore[misc]
            plain,
            "PIL at 1/1",
            "images/s",
        )
        for divisor, size in sizes.items()
    ]


def write(folder: Path, pair: Pair, masks: int) -> Sources:
    """IMAGES copies of a pair with its first `masks` masks, as a shard with labels and as extracted files."""
    record = {**pair.record, "annotations": pair.record["annotations"][:masks]}
    sources = Sources(write_shard(folder, Pair(pair.jpeg, record), IMAGES), folder / "labels.parquet", folder / "files")
    sources.extracted.mkdir()
    relevance = np.random.default_rng(0).random((QUERIES, masks)).astype(np.float32)
    rows = []
    with sources.tar.open("rb") as file:
        for member in walk(sources.tar):
            file.seek(member.offset)
            (sources.extracted / member.name).write_bytes(file.read(member.size))
            if member.name.endswith(".jpg"):
                rows.append({"jpeg_offset": member.offset, "jpeg_bytes": member.size, **_labels(record, relevance)})
    pq.write_table(pa.Table.from_pylist(rows), sources.labels, compression="zstd")
    np.save(sources.extracted / "relevance.npy", relevance)
    return sources


def _labels(record: dict[str, Any], relevance: np.ndarray) -> dict[str, Any]:
    annotations = record["annotations"]
    return {
        **{name: record["image"][name] for name in ("image_id", "width", "height")},
        "mask_ids": [annotation["id"] for annotation in annotations],
        "counts": [annotation["segmentation"]["counts"] for annotation in annotations],
        "predicted_ious": [annotation["predicted_iou"] for annotation in annotations],
        "stability_scores": [annotation["stability_score"] for annotation in annotations],
        "queries": [{"text": f"query {q}", "kind": "attribute", "target": 0} for q in range(len(relevance))],
        "relevance": relevance.tolist(),
    }


class PlainDataset(Dataset[dict[str, Any]]):
    """The first query of each image: the tensors of `ARRCOCDataset`, without its means."""

    def __init__(self, folder: Path, images: int) -> None:
        self.folder, self.images = folder, images
        self.relevance = torch.from_numpy(np.load(folder / "relevance.npy"))

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, index: int) -> dict[str, Any]:
        """image uint8 [3, S, S], coverage float32 [N, S/16, S/16], text, relevance float32 [N]."""
        path = self.folder / f"sa_{index + 1}.jpg"
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        rles = [annotation["segmentation"] for annotation in record["annotations"]]
        across, down = weights(record["image"]["height"], record["image"]["width"])
        return {
            "image": plain_frame(path.read_bytes()),
            "coverage": torch.stack([_covered(coco.decode(rle), across, down) for rle in rles]),
            "text": "query 0",
            "relevance": self.relevance[0],
        }


def plain_frame(data: bytes) -> Tensor:
    """A JPEG in SAM's frame, by PIL: uint8 [3, S, S]."""
    with Image.open(io.BytesIO(data)) as file:
        image = file.convert("RGB")
    height, width = FRAME.resized((image.height, image.width))
    frame = Image.new("RGB", (FRAME.out, FRAME.out), MEAN_COLOUR)
    frame.paste(image.resize((width, height), Image.Resampling.BILINEAR))
    return torch.from_numpy(np.array(frame)).permute(2, 0, 1).contiguous()


@lru_cache(maxsize=16)
def weights(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The share of each cell that each column and each row of pixels fills: float32 [grid, W], [grid, H]."""
    rows, columns = FRAME.resized((height, width))
    return _shares(width, columns / width / CELL), _shares(height, rows / height / CELL)


def _shares(pixels: int, scale: float) -> Tensor:
    edges = np.clip(np.arange(pixels + 1) * scale - np.arange(FRAME.out // CELL)[:, None], 0, 1)
    return torch.from_numpy(np.diff(edges, axis=1).astype(np.float32))


def _covered(mask: np.ndarray, across: Tensor, down: Tensor) -> Tensor:
    """A mask [H, W] on the grid [grid, grid]; it lies in memory column by column, and is read that way."""
    columns = torch.from_numpy(mask.T).float()
    return (across @ columns @ down.T).T


def _size(pair: Pair) -> str:
    return f"{pair.size[0]} x {pair.size[1]}"
