"""What is said of an image and of each of its masks, and CLIP's embeddings of the crops, batched over images."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ml.compute.ahead import ahead
from ml.labeling.captioners.batch import Batch
from ml.labeling.captioners.captioner import Captioner
from ml.labeling.geometry.eye import Eye
from ml.labeling.kept import KeptImage, decoded
from ml.labeling.relevance import Floats
from ml.params import Labels
from ml.sa1b.reading.phash import phash


class Embedder(Protocol):
    """The frozen CLIP: `ml.models.frozen.clip.Clip`, or anything alike."""

    eye: Eye
    embed_dim: int

    def encode_image(self, crops: Tensor) -> Tensor:
        """Embed uint8 RGB crops `[B, 3, s, s]` as `[B, embed_dim]`, L2-normalised, on the CPU."""
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


@dataclass(frozen=True)
class Described:
    """An image with its caption, a caption a mask (None: there is none), and f32 [N, e] embeddings of the crops.

    Its perceptual hash, too, since its pixels are at hand.
    """

    kept: KeptImage
    phash: bytes
    caption: str
    captions: list[str | None]
    embeddings: Floats


def describe(
    images: Iterable[KeptImage],
    tar: Path,
    clip: Embedder,
    captioner: Captioner,
    params: Labels,
    rejected: Counter[str],
) -> Iterator[Described]:
    """Caption and embed every mask's crop, about `params.batch_size` crops at a time.

    A batch is decoded and cut while the models are busy with the one before.

    Images that can't be decoded are left out and counted in `rejected`, by reason.

    Raises:
        UserError: the tar is missing or cut, or there are no captions to be had.
    """
    batches = _batches(decoded(images, tar, rejected), params)
    for batch, hashes in ahead(_looked(batches, clip, captioner)):
        yield from _describe(batch, hashes, clip, captioner)


def _batches(images: Iterable[tuple[KeptImage, NDArray[np.uint8] | None]], params: Labels) -> Iterator[Batch]:
    """The readable images, about `params.batch_size` masks at a time."""
    gathered: list[tuple[KeptImage, NDArray[np.uint8]]] = []
    for kept, image in images:
        if image is not None:
            gathered.append((kept, image))
        if sum(len(member.rows) for member, _ in gathered) >= params.batch_size:
            yield Batch(gathered, params.crop_margin)
            gathered = []
    if gathered:
        yield Batch(gathered, params.crop_margin)


def _looked(batches: Iterable[Batch], clip: Embedder, captioner: Captioner) -> Iterator[tuple[Batch, list[bytes]]]:
    """Batches with all that needs their pixels alone: crops cut, and the perceptual hash of each image."""
    for batch in batches:
        batch.crops(clip.eye)
        captioner.look(batch)
        yield batch, [phash(image) for _, image in batch]


def embed_texts(texts: list[str], clip: Embedder, batch_size: int) -> Floats:
    """L2-normalised embeddings of texts: f32 [T, e]."""
    starts = range(0, len(texts), batch_size)
    pieces = [clip.encode_text(clip.tokenize(texts[i : i + batch_size])).pooled.float().cpu().numpy() for i in starts]
    return np.concatenate([np.zeros((0, clip.embed_dim), np.float32), *pieces])


def _describe(batch: Batch, hashes: list[bytes], clip: Embedder, captioner: Captioner) -> Iterator[Described]:
    said = captioner.caption(batch)
    embeddings = said.embeddings
    if embeddings is None:
        embeddings = clip.encode_image(batch.crops(clip.eye)).float().numpy()
    start = 0
    for (kept, _), image_hash, caption in zip(batch, hashes, said.images, strict=True):
        own = slice(start, start + len(kept.rows))
        yield Described(kept, image_hash, caption, said.masks[own], embeddings[own])
        start = own.stop
