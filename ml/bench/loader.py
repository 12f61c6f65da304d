"""Reading samples for training against the Dataset one would write with PIL and pycocotools."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
import torch
from PIL import Image
from pycocotools import mask as coco
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional

from ml.bench.files import Pair, read_pair, write_shard
from ml.bench.measure import Row, in_turns, rates, result, times
from ml.masks import Frame
from ml.sa1b.reading.dataset import ARRCOCDataset
from ml.sa1b.reading.frames import CELL, least_size, shown
from ml.sa1b.reading.padding import MEAN_COLOUR, padded
from ml.sa1b.reading.reader import decode
from ml.sa1b.shards.tar import walk
from ml.training.data.augment import recolored
from ml.training.data.sampler import WINDOW, Sampler

FRAME = Frame(None, False, 1024)
IMAGES = 4
ASKED = {"kind": "attribute", "target": 0, "anchor": -1, "named": [0]}
QUERIES = 36  # an image with preset sa1b: a phrase for each of 20 masks, and 16 spatial ones
KEPT = 20  # masks an image with preset sa1b
EPOCH, BLOCK = 50_000, 64  # images in all, and in a row group of labels
JITTER = (1.1, 0.9, 1.1, 0.05)  # brightness, contrast, saturation, hue
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
        rows = [*_samples(pair), _image(pair), *_decoding(pair), _odd_scale(pair), _colours(pair), _order()]
        return result("loader", rows)


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
        mine, plain = in_turns(
            lambda: [ours[i * QUERIES] for i in range(IMAGES)], lambda: [peer[i] for i in range(IMAGES)], SLOW
        )
    case = f"sample with {masks} masks of {_size(pair)} on a grid of {FRAME.out // CELL}"
    return rates(case, IMAGES / mine, IMAGES / plain, PLAIN, "samples/s")


def _image(pair: Pair) -> Row:
    """The image alone in the frame: what is left when masks cost nothing."""

    def ours() -> Tensor:
        return torch.from_numpy(padded(_shown(pair).numpy(), FRAME.out)[:3])

    mine, plain = in_turns(ours, lambda: plain_frame(pair.jpeg), FAST)
    return rates(f"image of {_size(pair)} in the frame, no masks", 1 / mine, 1 / plain, "PIL", "images/s")


def _decoding(pair: Pair) -> Iterator[Row]:
    """Where the JPEG's own limit lies: at any scale its Huffman codes have to be read."""

    def plain() -> np.ndarray:
        return np.array(Image.open(io.BytesIO(pair.jpeg)).convert("RGB"))

    for divisor in (1, 2, 4, 8):
        size = _size_at(pair, divisor)
        mine, other = in_turns(partial(decode, pair.jpeg, size), plain, FAST)
        case = f"JPEG alone, {len(pair.jpeg) / 1e6:.1f} MB, at 1/{divisor}"
        yield rates(case, 1 / mine, 1 / other, "PIL at 1/1", "images/s")


def _odd_scale(pair: Pair) -> Row:
    """Why scales without SIMD are left out."""
    height, width = _size_at(pair, 8 / 5)
    odd = partial(simplejpeg.decode_jpeg, pair.jpeg, "RGB", min_height=height, min_width=width)
    mine, other = in_turns(partial(decode, pair.jpeg), odd, FAST)
    return times("JPEG alone, where 5/8 would do", mine * 1e3, other * 1e3, "libjpeg-turbo at 5/8", "ms")


def _colours(pair: Pair) -> Row:
    """Brightness, contrast, saturation and hue of what the frame shows."""
    image, (brightness, contrast, saturation, hue) = _shown(pair), JITTER

    def peer() -> Tensor:
        changed = functional.adjust_contrast(functional.adjust_brightness(image, brightness), contrast)
        return functional.adjust_hue(functional.adjust_saturation(changed, saturation), hue)

    mine, other = in_turns(lambda: recolored(image, JITTER), peer, FAST)
    size = f"{image.shape[1]} x {image.shape[2]}"
    return times(f"colour jitter of {size}", mine * 1e3, other * 1e3, "torchvision's four steps", "ms")


def _order() -> Row:
    """The shuffle of an epoch, against searching all images for each window of blocks."""
    sampler = Sampler(np.arange(EPOCH), np.arange(EPOCH) // BLOCK, 0, 4)
    blocks = np.random.default_rng(0).permutation(EPOCH // BLOCK)
    windows = np.array_split(blocks, len(blocks) // WINDOW)

    def peer() -> list[np.ndarray]:
        return [sampler.images[np.isin(sampler.blocks, window)] for window in windows]

    mine, other = in_turns(lambda: sampler.order(0), peer, SLOW)
    case = f"order of an epoch, {EPOCH} images in blocks of {BLOCK}"
    return times(case, mine * 1e3, other * 1e3, "numpy isin, window by window", "ms")


def _shown(pair: Pair) -> Tensor:
    return shown(decode(pair.jpeg, least_size(FRAME, pair.size)), FRAME, pair.size)


def _size_at(pair: Pair, divisor: float) -> tuple[int, int]:
    return ceil(pair.size[0] / divisor), ceil(pair.size[1] / divisor)


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
        "queries": [{"text": f"query {q}", **ASKED} for q in range(len(relevance))],
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
        """`image` uint8 [3, S, S], `coverage` float32 [N, S/16, S/16], `text`, `relevance` float32 [N]."""
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
