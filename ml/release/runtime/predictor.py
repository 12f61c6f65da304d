"""From an image and texts to scored masks, as `ml.evaluation.predictions.predictor`, without PyTorch."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.errors import UserError
from ml.evaluation.predictions.scored import Answers, weighted
from ml.labeling.geometry.hierarchy import assign
from ml.masks import Frame, PlainMasks
from ml.params import Evaluation, Filter
from ml.release.runtime.proposals import DRAWING, POINTS, Proposer, sigmoid
from ml.release.runtime.sessions import Floats, Graph, load, read_config
from ml.release.runtime.towers import (
    CROP_ENCODER,
    HEADS,
    IMAGE_ENCODER,
    TEXT_ENCODER,
    Crops,
    Reader,
    at_least_one,
    eye,
    placed,
)
from ml.sa1b.reading.padding import to_frame

CONFIG = "package.json"
QUERIES_PER_BATCH = 32
UPSCALE = 4  # cells of the grounding map a cell of the features, a side


@dataclass(frozen=True)
class Scene:
    """What is computed once an image.

    Attributes:
        size: height and width in pixels.
        features: frozen SAM features [1, C, h, w].
        masks: what SAM proposes, best first.
        crops: CLIP's embeddings of their crops, [N, e]; of no masks, one row that means nothing.
        levels: part, object, group or scene, of each mask.
    """

    size: tuple[int, int]
    features: Floats
    masks: PlainMasks
    crops: Floats
    levels: Sequence[str]


class Predictor:
    """Scores masks of an image against texts. It sees the image and the texts, nothing else."""

    def __init__(self, common: Path, graphs: Path | None = None) -> None:
        """Load what `ml.release.export.common` wrote, and the graphs of a variant, by default from the same folder.

        Raises:
            UserError: a file is missing or broken.
        """
        graphs = graphs or common
        if not (common / CONFIG).is_file():
            raise UserError(f"{common}: no released model there; make one with: arrcoc run")
        config = read_config(common / CONFIG)
        self.side, self.params = int(config["image_size"]), Evaluation(**config["evaluation"])
        self.hierarchy = Filter(**config["filter"])
        towers = (graphs / name for name in (IMAGE_ENCODER, CROP_ENCODER, TEXT_ENCODER, HEADS))
        self.encoder, crops, texts, self.heads, points, drawing = load(*towers, common / POINTS, common / DRAWING)
        self.proposer = Proposer(points, drawing, self.side, self.params)
        self.crops = Crops(crops, eye(common), float(config["crop_margin"]))
        self.reader = Reader(common, texts)

    def beside(self, heads: Path) -> "Predictor":
        """Other heads that see and read through the same towers, which are not loaded again.

        Raises:
            UserError: the graph is missing or broken.
        """
        other = copy(self)
        other.heads = Graph(heads)
        return other

    def look(self, image: NDArray[np.uint8]) -> Scene:
        """Encode an RGB image `[H, W, 3]` once, propose its masks and see their crops."""
        size = (image.shape[0], image.shape[1])
        (features,) = self.encoder(images=to_frame(image, self.side)[None])
        masks = self.proposer.propose(features, image)
        crops = self.crops.embed(image, at_least_one(masks))
        return Scene(size, features, masks, crops, assign(masks, self.hierarchy)[0])

    def answer(self, scene: Scene, texts: Sequence[str]) -> Answers:
        """Score the scene's masks for every text."""
        masks = at_least_one(scene.masks)
        given = placed(masks, scene.size, self.side, scene.features.shape[-2:])
        given |= {"features": scene.features, "crops": scene.crops[None]}
        fine = self._fine(scene, masks)
        parts = []
        for start in range(0, len(texts), QUERIES_PER_BATCH):
            read = self.reader.read(texts[start : start + QUERIES_PER_BATCH])
            relevance, logits = self.heads(**given, **read._asdict())
            maps = sigmoid(logits[0, :, : fine.shape[1], : fine.shape[2]])
            parts.append((relevance[0], agreement(maps, fine), maps))
        relevance, grounding, maps = (np.concatenate(column) for column in zip(*parts, strict=True))
        there = slice(len(scene.masks))  # without any mask, the dummy's scores are of nothing
        return weighted(relevance[:, there], grounding[:, there], maps, self.params.grounding_weight)

    def predict(self, image: NDArray[np.uint8], texts: Sequence[str]) -> tuple[Scene, Answers]:
        """`look`, then `answer`."""
        scene = self.look(image)
        return scene, self.answer(scene, texts)

    def _fine(self, scene: Scene, masks: PlainMasks) -> NDArray[np.float64]:
        """The masks' coverage of the image, without the padding, at the maps' own resolution: `[N, rows, columns]`."""
        frame = Frame(None, False, self.side)
        grid = tuple(UPSCALE * cells for cells in scene.features.shape[-2:])
        rows, columns = (
            max(1, round(side / frame.out * cells)) for side, cells in zip(frame.resized(scene.size), grid, strict=True)
        )
        return masks.coverage((grid[0], grid[1]), frame)[:, :rows, :columns].astype(np.float64)


def agreement(maps: Floats, coverage: NDArray[np.float64]) -> Floats:
    """Mean of each map `[Q, h, w]` inside each mask (coverage `[N, h, w]`) minus its mean outside: float32 `[Q, N]`."""
    flat, weights = maps.reshape(len(maps), -1).astype(np.float64), coverage.reshape(len(coverage), -1)
    inside, area = flat @ weights.T, weights.sum(1)
    outside, rest = flat.sum(1, keepdims=True) - inside, weights.shape[1] - area
    return (_mean(inside, area) - _mean(outside, rest)).astype(np.float32)


def _mean(sums: NDArray[np.float64], cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums `[Q, N]` over cells `[N]`; 0 where a mask leaves less than a thousandth of a cell."""
    return np.where(cells > 1e-3, sums / np.maximum(cells, 1e-3), 0.0)


def found(scene: Scene, answers: Answers, queries: Sequence[str], query: int, most: int = 10) -> dict[str, Any]:
    """What is printed of one query: the box (xywh, pixels), its score, ranked masks with their COCO run lengths.

    "present": whether anything is what the query means; where nothing is, the box and the masks are the nearest to it.
    """
    order = answers.best(query, most)
    chosen = scene.masks.select(order)
    rows = zip(order, chosen.coco_boxes(), chosen.areas(), chosen.to_strings(), strict=True)
    masks = [
        {
            "box": [round(float(value), 1) for value in box],
            "area": int(area),
            "level": scene.levels[i],
            "relevance": round(float(answers.relevance[query, i]), 4),
            "segmentation": {"size": list(scene.size), "counts": counts},
        }
        for i, box, area, counts in rows
    ]
    return {
        "query": queries[query],
        "present": answers.present(query),
        "box": masks[0]["box"] if masks else None,
        "score": round(float(answers.scores[query, order[0]]), 4) if masks else 0.0,
        "masks": masks,
    }
