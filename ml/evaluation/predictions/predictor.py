"""From an image and texts to scored masks: what evaluation, release and `arrcoc predict` share.

The trained part enters as `Heads`, so that the PyTorch model and its compressed ONNX forms are scored by the same code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.evaluation.predictions.proposals import Proposals, propose
from ml.evaluation.predictions.scored import Answers, weighted
from ml.labeling.geometry.crops import masked_crops
from ml.labeling.geometry.eye import Eye
from ml.masks import Frame, Masks
from ml.masks.edges import Edges
from ml.models.arrcoc import ARRCOC
from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import Sam
from ml.models.frozen.texts import TextBank
from ml.models.grounding import UPSCALE
from ml.params import Evaluation
from ml.sa1b.reading.padding import to_frame

QUERIES_PER_BATCH = 32
CROPS_PER_BATCH = 64


class Heads(Protocol):
    """The trained part, in whatever runtime, with the text tower that it reads through.

    features `[1, C, h, w]`, coverage `[1, N, h, w]`, boxes `[1, N, 4]` xyxy in [0, 1] of the frame, crops `[1, N, e]`,
    valid bool `[1, N]`, Q texts -> relevance in [0, 1] `[1, Q, N]`, grounding logits `[1, Q, 4h, 4w]`; all on one
    device.
    """

    def heads(
        self, features: Tensor, coverage: Tensor, boxes: Tensor, crops: Tensor, valid: Tensor, texts: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Relevance and grounding logits of the texts, in the shapes above."""
        ...


class TorchHeads:
    """ARR-COC in PyTorch, where its weights are; a text that is asked of many images is encoded once."""

    def __init__(self, model: ARRCOC, clip: Clip) -> None:
        self.model = model.eval()
        self.texts = TextBank(clip, model.positions.device, model.config.language)

    @torch.no_grad()
    def heads(
        self, features: Tensor, coverage: Tensor, boxes: Tensor, crops: Tensor, valid: Tensor, texts: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """As `Heads.heads`, without gradients."""
        text = self.texts.queries([texts])
        return self.model(features, coverage, boxes, crops, valid, text.tokens, text.mask, text.pooled, text.referents)


class Encoder(Protocol):
    """The frozen CLIP's image tower, in whatever runtime."""

    eye: Eye

    def encode_image(self, crops: Tensor) -> Tensor:
        """Embed uint8 RGB crops `[B, 3, s, s]` as `[B, e]`, L2-normalised, on the CPU."""
        ...


@dataclass(frozen=True)
class Crops:
    """What the frozen CLIP says of masks, seen as the pseudo-labels saw them: crops with `margin` around the mask."""

    encoder: Encoder
    margin: float

    def embed(self, image: NDArray[np.uint8], masks: Masks) -> Tensor:
        """Embeddings of the masks' crops of an RGB image `[H, W, 3]`: `[N, e]`, on the CPU."""
        crops = masked_crops(image, masks, self.encoder.eye, self.margin)
        batches = torch.from_numpy(crops.transpose(0, 3, 1, 2).copy()).split(CROPS_PER_BATCH)
        return torch.cat([self.encoder.encode_image(batch).float() for batch in batches])


@dataclass(frozen=True)
class Scene:
    """What is computed once an image.

    Attributes:
        image: uint8 RGB [H, W, 3].
        features: frozen SAM features [1, C, h, w].
        proposals: the masks that SAM proposes, or that came with the image.
        crops: CLIP's embeddings of their crops, [N, e]; of no masks, one row that means nothing.
    """

    image: NDArray[np.uint8]
    features: Tensor
    proposals: Proposals
    crops: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]


class Predictor:
    """Scores masks of an image against texts. It sees the image and the texts, nothing else."""

    def __init__(self, sam: Sam, crops: Crops, heads: Heads, params: Evaluation) -> None:
        self.sam = sam
        self.crops = crops
        self.heads = heads
        self.params = params

    def encode(self, image: NDArray[np.uint8]) -> Tensor:
        """Frozen features `[1, C, h, w]` of an RGB image `[H, W, 3]`."""
        return self.sam.encode(torch.from_numpy(to_frame(image, self.sam.image_size))[None])

    def look(self, image: NDArray[np.uint8]) -> Scene:
        """Encode an RGB image `[H, W, 3]` once, propose its masks and see their crops."""
        features = self.encode(image)
        return self.scene(image, features, propose(self.sam, features, image, self.params))

    def scene(self, image: NDArray[np.uint8], features: Tensor, proposals: Proposals) -> Scene:
        """An RGB image `[H, W, 3]` with its features `[1, C, h, w]`, masks of any origin, and their crops."""
        return Scene(image, features, proposals, self.crops.embed(image, at_least_one(proposals.masks)))

    def given(self, scene: Scene, masks: Masks) -> Scene:
        """The same image with masks of the input in the place of those proposed; nobody doubts them."""
        sure = np.ones(len(masks), np.float32)
        return self.scene(scene.image, scene.features, Proposals(masks, sure, sure))

    def answer(self, scene: Scene, texts: Sequence[str], maps: bool = True) -> Answers:
        """Score the scene's masks for every text; without `maps`, none of them is kept."""
        answers = self._answer(scene, texts, maps)
        return answers if len(scene.proposals.masks) else _without_masks(answers)

    def predict(self, image: NDArray[np.uint8], texts: Sequence[str]) -> tuple[Scene, Answers]:
        """`look`, then `answer` for its proposals."""
        scene = self.look(image)
        return scene, self.answer(scene, texts)

    def _answer(self, scene: Scene, texts: Sequence[str], keep_maps: bool) -> Answers:
        (coverage, boxes, valid), fine = self._placed(scene, at_least_one(scene.proposals.masks))
        given = scene.features, coverage, boxes, scene.crops[None].to(scene.features.device), valid
        parts: list[list[NDArray[np.float32]]] = []
        for start in range(0, len(texts), QUERIES_PER_BATCH):
            batch = texts[start : start + QUERIES_PER_BATCH]
            relevance, logits = self.heads.heads(*given, batch)
            maps = torch.sigmoid(logits[0, :, : fine.shape[1], : fine.shape[2]].float())
            # The maps of LVIS's 1,203 names would be 315 MB an image, on the way from a GPU and here.
            found = (relevance[0].float(), agreement(maps, fine), maps if keep_maps else maps[:0])
            parts.append([part.cpu().numpy() for part in found])
        likely, grounding, shown = (np.concatenate(column) for column in zip(*parts, strict=True))
        return weighted(likely, grounding, shown, self.params.grounding_weight)

    def _placed(self, scene: Scene, masks: Masks) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Masks as the heads read them (coverage, boxes, valid), and their coverage of the image.

        The latter is at the maps' own resolution, float64 `[N, rows, columns]`; all on the device of the features.
        """
        frame, device = Frame(None, False, self.sam.image_size), scene.features.device
        h, w = scene.features.shape[-2:]
        coverage = torch.from_numpy(masks.coverage((h, w), frame))[None]
        boxes = torch.from_numpy(frame.boxes(masks.coco_boxes(), scene.size)).float()[None]
        valid = torch.ones(1, len(masks), dtype=torch.bool)
        rows, columns = _shown((h * UPSCALE, w * UPSCALE), frame, scene.size)
        fine = masks.coverage((h * UPSCALE, w * UPSCALE), frame)[:, :rows, :columns]
        given = coverage.to(device), boxes.to(device), valid.to(device)
        return given, torch.from_numpy(fine).to(device, torch.float64)


def agreement(maps: Tensor, coverage: Tensor) -> Tensor:
    """Mean of each map `[Q, h, w]` inside each mask (coverage `[N, h, w]`) minus its mean outside: float32 `[Q, N]`."""
    flat, weights = (values.flatten(1).to(torch.float64) for values in (maps, coverage))
    inside, area = flat @ weights.T, weights.sum(1)
    outside, rest = flat.sum(1, keepdim=True) - inside, weights.shape[1] - area
    return (_mean(inside, area) - _mean(outside, rest)).float()


def _mean(sums: Tensor, cells: Tensor) -> Tensor:
    """Sums `[Q, N]` over cells `[N]`; 0 where a mask leaves less than a thousandth of a cell."""
    return torch.where(cells > 1e-3, sums / cells.clamp_min(1e-3), 0.0)


def map_region(heat: NDArray[np.float32], size: tuple[int, int], edges: Edges | None = None) -> NDArray[np.bool_]:
    """The surest part of a map `[h, w]` at the image's size, bool `[H, W]`.

    Of the connected parts above 0.5 the one with the greatest sum of what its pixels are above it; where nothing is
    above 0.5, above half of the map's maximum. With `edges` it ends where the picture says.
    """
    full = cv2.resize(heat, size[::-1], interpolation=cv2.INTER_LINEAR)
    level = min(0.5, float(full.max()) / 2)
    above = full > level
    if edges is not None and level > 0 and (fitted := edges.fit((heat * (0.5 / level)).clip(max=1))).any():
        above = fitted
    count, labels = cv2.connectedComponents(above.astype(np.uint8))
    rises = np.bincount(labels.ravel(), np.maximum(full - level, 0).ravel(), count)
    return above if count < 2 else labels == 1 + int(rises[1:].argmax())


def peak(heat: NDArray[np.float32], size: tuple[int, int]) -> tuple[float, float]:
    """The centre of the hottest cell of a map `[h, w]` as x, y in pixels of an image of `size` (height, width)."""
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    return (column + 0.5) / heat.shape[1] * size[1], (row + 0.5) / heat.shape[0] * size[0]


def _shown(grid: tuple[int, int], frame: Frame, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a grid over the frame that show the image and not its padding."""
    height, width = frame.resized(size)
    return max(1, round(height / frame.out * grid[0])), max(1, round(width / frame.out * grid[1]))


def at_least_one(masks: Masks) -> Masks:
    """The masks; of an image without a single one an empty dummy, which keeps every shape legal."""
    return masks if len(masks) else Masks.from_dense(np.zeros((1, *masks.size), bool))


def _without_masks(answers: Answers) -> Answers:
    return Answers(answers.relevance[:, :0], answers.grounding[:, :0], answers.scores[:, :0], answers.maps)
