"""Automatic masks of an image, as `ml.evaluation.predictions.proposals` makes them, from two ONNX graphs.

The first judges points, the second draws the masks of those that are trusted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.masks import Frame, PlainMasks
from ml.masks.edges import Edges
from ml.params import Evaluation
from ml.release.runtime.sessions import Floats, Graph

POINTS, DRAWING = "points.onnx", "drawing.onnx"
POINTS_PER_BATCH, DRAWN = 64, 8  # as in training's process; more masks at a time outgrow the processor's cache
RESIZED = 16  # masks brought to the image's size at a time
NEARNESS = 4.0  # weight of a point's place, in image sides, against its unit feature: plain ground is spread over


@dataclass(frozen=True)
class Found:
    """Low-resolution logits `[M, s, s]` with SAM's own scores of them `[M]`."""

    logits: Floats
    ious: Floats
    stability: Floats


class Proposer:
    """SAM's prompt encoder and mask decoder on a grid of points."""

    def __init__(self, points: Graph, drawing: Graph, side: int, params: Evaluation) -> None:
        """`side`: of SAM's frame in pixels."""
        self.points, self.drawing, self.side, self.params = points, drawing, side, params

    def propose(self, features: Floats, image: NDArray[np.uint8]) -> PlainMasks:
        """Masks of an RGB image `[H, W, 3]` from its features `[1, C, h, w]`; at most `max_proposals`."""
        size = (image.shape[0], image.shape[1])
        frame = Frame(None, False, self.side).resized(size)
        points = prompts(features, frame, self.side, self.params.points_per_side, self.params.max_points)
        parts = [self._stable(found, frame) for found in self._decoded(features, points)]
        logits = np.concatenate([part.logits for part in parts])
        order = np.argsort(-np.concatenate([part.ious for part in parts]), kind="stable")
        kept = order[distinct(logits[order] > 0, self.params.duplicate_iou, self.params.max_proposals)]
        masks = self._fitted(logits[kept], frame, image)
        return masks.select(masks.areas() > 0)

    def _decoded(self, features: Floats, points: Floats) -> Iterator[Found]:
        """The masks whose predicted IoU is high enough, a batch of points at a time."""
        side = 4 * features.shape[-1]
        for start in range(0, len(points), POINTS_PER_BATCH):
            tokens, grid, ious = self.points(features=features, points=points[start : start + POINTS_PER_BATCH])
            trusted = ious > self.params.predicted_iou
            drawn = [np.empty((0, side, side), np.float32)]
            some = np.flatnonzero(trusted.any(1))
            for first in range(0, len(some), DRAWN):
                chosen = some[first : first + DRAWN]
                (logits,) = self.drawing(tokens=tokens[chosen], grid=grid[chosen])
                drawn.append(logits[trusted[chosen]])
            yield Found(np.concatenate(drawn), ious[trusted], ious[trusted])

    def _stable(self, found: Found, frame: tuple[int, int]) -> Found:
        """Those that hardly change with the threshold (`calculate_stability_score` of segment_anything)."""
        scale = found.logits.shape[-1] / self.side
        height, width = (max(1, round(side * scale)) for side in frame)
        inside = found.logits[:, :height, :width]
        sure, likely = (np.count_nonzero(inside > offset, axis=(1, 2)) for offset in (1.0, -1.0))
        stability = (sure / np.maximum(likely, 1)).astype(np.float32)
        kept = stability >= self.params.stability_score
        return Found(found.logits[kept], found.ious[kept], stability[kept])

    def _fitted(self, logits: Floats, frame: tuple[int, int], image: NDArray[np.uint8]) -> PlainMasks:
        """Low-resolution logits `[M, s, s]` as masks of the image, brought to its edges where the params say so."""
        size, params = (image.shape[0], image.shape[1]), self.params.edges
        if params is None:
            return _to_image(logits, frame, size, self.side)
        edges = Edges(image, frame, self.side // logits.shape[-1], params.radius, params.variance)
        return PlainMasks.concatenate([PlainMasks.from_dense(edges.fit(sigmoid(each))[None]) for each in logits], size)


def sigmoid(logits: Floats) -> Floats:
    """Probabilities of logits, float32; none is too large."""
    return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def prompts(features: Floats, frame: tuple[int, int], side: int, points_per_side: int, most: int) -> Floats:
    """Points x, y in the frame, float32 `[P, 2]`: a grid over the image, or the `most` most different points of it.

    Greedy k-centres (Gonzalez, 1985) over the frozen features `[1, C, h, w]` and the place.
    """
    steps = ((np.arange(points_per_side) + 0.5) / points_per_side).astype(np.float32)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    points = grid * np.array(frame[::-1], np.float32)
    if len(points) <= most:
        return points
    sampled = _sampled(features[0], points / np.float32(side))
    sampled -= sampled.mean(0)
    unit = sampled / np.maximum(np.linalg.norm(sampled, axis=1, keepdims=True), 1e-12)
    described = np.concatenate([unit, np.float32(NEARNESS) * grid], axis=1)
    chosen = [int(np.square(described - described.mean(0)).sum(1).argmin())]
    distances = np.full(len(points), np.inf, np.float32)
    while len(chosen) < most:
        distances = np.minimum(distances, np.square(described - described[chosen[-1]]).sum(1))
        chosen.append(int(distances.argmax()))
    return points[chosen]


def _sampled(features: Floats, places: Floats) -> Floats:
    """Features `[C, h, w]` at x, y in [0, 1] of the frame `[P, 2]`, between cells, zero beyond: `[P, C]`."""
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
    x, y = (places * features.shape[:0:-1] + 0.5).T  # in cells of the padded grid
    x0, y0 = (np.floor(value).astype(int) for value in (x, y))
    wx, wy = x - x0, y - y0
    out = np.zeros((len(places), len(features)), np.float32)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (wy if down else 1 - wy) * (wx if right else 1 - wx)
        out += (padded[:, y0 + down, x0 + right] * weight).T
    return out


def distinct(masks: NDArray[np.bool_], limit: float, most: int) -> list[int]:
    """Indices of masks bool `[M, h, w]`, best first, that overlap no earlier kept one by an IoU above `limit`."""
    flat = masks.reshape(len(masks), masks.shape[1] * masks.shape[2]).astype(np.float32)
    areas = flat.sum(1)
    common = flat @ flat.T
    iou = common / np.maximum(areas[:, None] + areas[None] - common, 1)
    kept: list[int] = []
    for i in np.flatnonzero(areas):
        if len(kept) == most:
            break
        if not (iou[i, kept] > limit).any():
            kept.append(int(i))
    return kept


def _to_image(logits: Floats, frame: tuple[int, int], size: tuple[int, int], side: int) -> PlainMasks:
    """Low-resolution logits `[M, s, s]` as masks of the image's size, resized as SAM does: frame, crop, image."""
    chunks = [logits[start : start + RESIZED] for start in range(0, len(logits), RESIZED)]
    dense = (np.stack([_resized(each, frame, size, side) for each in chunk]) for chunk in chunks)
    return PlainMasks.concatenate([PlainMasks.from_dense(chunk) for chunk in dense], size)


def _resized(logits: Floats, frame: tuple[int, int], size: tuple[int, int], side: int) -> NDArray[np.bool_]:
    framed = cv2.resize(logits, (side, side), interpolation=cv2.INTER_LINEAR)[: frame[0], : frame[1]]
    return cv2.resize(framed, size[::-1], interpolation=cv2.INTER_LINEAR) > 0 if size != frame else framed > 0
