"""What the frozen CLIP and its captioner say of an image and of each masked crop, batched over images."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.labeling.geometry.crops import masked_crops
from ml.labeling.kept import KeptImage, decoded
from ml.labeling.relevance import Floats
from ml.params import Labels
from ml.sa1b.reading.phash import phash

Batch = list[tuple[KeptImage, NDArray[np.uint8]]]


class Embedder(Protocol):
    """The frozen CLIP: `ml.models.frozen.clip.Clip`, or anything alike."""

    image_size: int
    embed_dim: int

    def encode_image(self, crops: Tensor) -> Tensor:
        """Embed uint8 RGB crops `[B, 3, image_size, image_size]` as `[B, embed_dim]`, L2-normalised, on the CPU."""
        ...

    def tokenize(self, texts: list[str]) -> Tensor:
        """Token ids int64 `[B, T]`."""
        ...

    def encode_text(self, ids: Tensor) -> "Pooled":
        """Features of token ids `[B, T]`."""
        ...


class Pooled(Protocol):
    """Features of B texts, as far as they are read here."""

    @property
    def pooled(self) -> Tensor:
        """A vector a text, `[B, embed_dim]`, L2-normalised."""
        ...


class Captioner(Protocol):
    """The frozen CoCa; `describe` gives its own embeddings and its captions."""

    image_size: int

    def describe(self, crops: Tensor) -> tuple[Tensor, list[str]]:
        """Embeddings `[B, e]`, L2-normalised, and captions of uint8 RGB crops `[B, 3, image_size, image_size]`."""
        ...


@dataclass(frozen=True)
class Described:
    """An image as CLIP and CoCa see it: its caption, a caption a mask, and f32 [N, e] embeddings of the crops.

    Its perceptual hash, too, since its pixels are at hand.
    """

    kept: KeptImage
    phash: bytes
    caption: str
    captions: list[str]
    embeddings: Floats


def describe(
    images: Iterable[KeptImage],
    tar: Path,
    clip: Embedder,
    captioner: Captioner,
    params: Labels,
    rejected: Counter[str],
) -> Iterator[Described]:
    """Embed and caption every mask's crop, about `params.batch_size` crops at a time.

    Images that can't be decoded are left out and counted in `rejected`, by reason.

    Raises:
        UserError: the tar is missing or cut.
    """
    batch: Batch = []
    for kept, image in decoded(images, tar, rejected):
        if image is not None:
            batch.append((kept, image))
        if sum(len(member.rows) for member, _ in batch) >= params.batch_size:
            yield from _describe(batch, clip, captioner, params.crop_margin)
            batch = []
    if batch:
        yield from _describe(batch, clip, captioner, params.crop_margin)


def embed_texts(texts: list[str], clip: Embedder, batch_size: int) -> Floats:
    """L2-normalised embeddings of texts: f32 [T, e]."""
    starts = range(0, len(texts), batch_size)
    pieces = [clip.encode_text(clip.tokenize(texts[i : i + batch_size])).pooled.float().cpu().numpy() for i in starts]
    return np.concatenate([np.zeros((0, clip.embed_dim), np.float32), *pieces])


def _describe(batch: Batch, clip: Embedder, captioner: Captioner, margin: float) -> Iterator[Described]:
    embeddings, captions = _seen(batch, clip, captioner, margin)
    ends = np.cumsum([len(kept.rows) for kept, _ in batch])
    for number, (kept, image) in enumerate(batch):
        own = slice(ends[number] - len(kept.rows), ends[number])
        yield Described(kept, phash(image), captions[ends[-1] + number], captions[own], embeddings[own])


def _seen(batch: Batch, clip: Embedder, captioner: Captioner, margin: float) -> tuple[Floats, list[str]]:
    """Embeddings of all masks' crops, f32 [sum N, e], and captions of them and, after them, of the images."""
    crops = [masked_crops(image, kept.masks(), captioner.image_size, margin) for kept, image in batch]
    whole = [_whole(image, captioner.image_size) for _, image in batch]
    embeddings, captions = captioner.describe(_tensor([*crops, *whole]))
    if captioner is not clip:
        crops = [masked_crops(image, kept.masks(), clip.image_size, margin) for kept, image in batch]
        embeddings = clip.encode_image(_tensor(crops))
    return embeddings[: len(captions) - len(batch)].float().numpy(), captions


def _whole(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The image as one crop, uint8 [1, size, size, 3]."""
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)[None].astype(np.uint8, copy=False)


def _tensor(crops: list[NDArray[np.uint8]]) -> Tensor:
    """[n, s, s, 3] each -> uint8 [sum n, 3, s, s]."""
    return torch.from_numpy(np.concatenate(crops).transpose(0, 3, 1, 2).copy())
