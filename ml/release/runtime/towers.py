"""The frozen towers and the trained heads as ONNX graphs, with what they are fed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.labeling.geometry.crops import masked_crops
from ml.labeling.geometry.eye import Eye
from ml.labeling.language.english import English
from ml.labeling.language.referents import referents
from ml.labeling.language.tagger import Tagger
from ml.masks import Frame, PlainMasks
from ml.release.runtime.bpe import Tokenizer
from ml.release.runtime.sessions import Floats, Graph, read_config

IMAGE_ENCODER, CROP_ENCODER = "image_encoder.onnx", "crop_encoder.onnx"
TEXT_ENCODER, HEADS = "text_encoder.onnx", "heads.onnx"
CLIP, MERGES = "clip.json", "merges.txt.gz"
CROPS_PER_BATCH = 64


class PillowEye(Eye):
    """An eye that resizes with Pillow, which torch follows to a level of 255."""

    def resized(self, pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        """RGB `[H, W, 3]` at another size, uint8 `[height, width, 3]`."""
        if self.interpolation == "area":
            return super().resized(pixels, height, width)
        method = Image.Resampling[self.interpolation.upper()]
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), method))


class Crops:
    """What the frozen CLIP says of masks: crops with a margin around the mask."""

    def __init__(self, encoder: Graph, eye: Eye, margin: float) -> None:
        self.encoder, self.eye, self.margin = encoder, eye, margin

    def embed(self, image: NDArray[np.uint8], masks: PlainMasks) -> Floats:
        """Embeddings of the masks' crops of an RGB image `[H, W, 3]`: `[N, e]`, L2-normalised."""
        crops = masked_crops(image, masks, self.eye, self.margin).transpose(0, 3, 1, 2)
        batches = (crops[start : start + CROPS_PER_BATCH] for start in range(0, len(crops), CROPS_PER_BATCH))
        return np.concatenate([self.encoder(crops=np.ascontiguousarray(batch))[0] for batch in batches])


class Read(NamedTuple):
    """What is read of Q texts of one image, and of what they speak of.

    Tokens `[1, Q, T, d]`, mask bool `[1, Q, T]`, pooled `[1, Q, e]`, referents `[1, Q, 2, e]`.
    """

    tokens: Floats
    text_mask: NDArray[np.bool_]
    pooled: Floats
    referents: Floats


class Reader:
    """CLIP's text tower, and the things that a text names."""

    def __init__(self, common: Path, tower: Graph) -> None:
        self.tokenizer, self.tower = Tokenizer(common / MERGES), tower
        self.english = English(Tagger.load(common))
        self.length = int(read_config(common / CLIP)["architecture"]["text_cfg"]["context_length"])

    def read(self, texts: Sequence[str]) -> Read:
        """All that the heads read of texts."""
        spoken = [part for both in referents(texts, self.english) for part in both]
        there = np.array([[float(bool(part))] for part in spoken], np.float32)
        tokens, pooled, mask = self.tower(ids=self.tokenizer([*texts, *spoken], self.length))
        asked = len(texts)
        parts = (pooled[asked:] * there).reshape(1, asked, -1, pooled.shape[-1])
        return Read(tokens[None, :asked], mask[None, :asked], pooled[None, :asked], parts)


def eye(common: Path) -> PillowEye:
    """How crops are shown to CLIP, as `clip.json` says.

    Raises:
        UserError: the file is missing or broken.
    """
    return PillowEye.of(read_config(common / CLIP))


def placed(masks: PlainMasks, size: tuple[int, int], side: int, grid: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Masks as the heads read them: coverage `[1, N, h, w]`, boxes `[1, N, 4]` and valid `[1, N]`; N at least 1."""
    frame = Frame(None, False, side)
    return {
        "coverage": masks.coverage(grid, frame)[None],
        "boxes": frame.boxes(masks.coco_boxes(), size).astype(np.float32)[None],
        "valid": np.ones((1, len(masks)), bool),
    }


def at_least_one(masks: PlainMasks) -> PlainMasks:
    """The masks; of an image without a single one an empty dummy, which keeps every shape legal."""
    return masks if len(masks) else PlainMasks.from_dense(np.zeros((1, *masks.size), bool))
