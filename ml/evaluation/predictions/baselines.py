"""What needs no training, asked the same questions of the same proposals: whoever trains should know what that reaches.

The frozen CLIP on what it is shown of each mask: the masked crop of the pseudo-labels, a red circle around it in the
picture (Shtedritski et al., "What does CLIP know about a red circle?", 2023), the picture with all but the mask
blurred (Yang et al., "Fine-grained visual prompting", 2023); crops with a spatial rule (Subramanian et al., "ReCLIP",
2022); and our grounding map without the relevance head.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ml.evaluation.predictions.predictor import Scene, TorchHeads
from ml.evaluation.predictions.scored import RELEVANT, Answers
from ml.labeling.geometry.eye import Eye
from ml.labeling.geometry.hierarchy import assign
from ml.labeling.geometry.neighbours import CLOSEST, NEIGHBOURS, beside, closest
from ml.labeling.geometry.ranks import RANKS, ranked
from ml.labeling.geometry.relations import PART_OF, SUPERLATIVES, Geometry, Pairs, extreme, measure
from ml.labeling.language.places import places
from ml.labeling.language.referents import referents
from ml.masks import Frame, Masks
from ml.params import Filter

CROPS, CIRCLE, BLUR, RULE, MAP = "clip on crops", "clip, red circle", "clip, blurred", "clip and a rule", "map alone"
RED, LINE = (255, 0, 0), 0.02  # the circle's colour, and its width in sides of the picture
SIGMA = 0.04  # of the blur, in sides of the picture

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Baselines:
    """Answers of every baseline to questions that the model has answered."""

    def __init__(self, heads: TorchHeads, hierarchy: Filter) -> None:
        self.texts, self.config, self.hierarchy = heads.texts, heads.model.config, hierarchy
        self.reader = heads.texts.reader

    def answer(self, scene: Scene, texts: Sequence[str], ours: Answers) -> dict[str, Answers]:
        """By name, of the scene's masks; `ours`: the model's answers to the same."""
        masks, crops = scene.proposals.masks, scene.crops.numpy()
        shown = {CIRCLE: circled(scene.image, masks, self.eye), BLUR: blurred(scene.image, masks, self.eye)}
        found = {CROPS: self.similarity(texts, crops)}
        found |= {name: self.similarity(texts, self.embed(pictures)) for name, pictures in shown.items()}
        found |= {RULE: self.ruled(texts, masks, crops), MAP: ours.grounding.clip(0, 1)}
        return {name: Answers(values, np.zeros_like(values), values, ours.maps[:0]) for name, values in found.items()}

    @property
    def eye(self) -> Eye:
        """How CLIP is shown pictures."""
        return self.texts.clip.eye

    def embed(self, pictures: Image) -> Floats:
        """L2-normalised embeddings f32 [N, e] of pictures [N, s, s, 3]."""
        return self.texts.clip.encode_image(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())).float().numpy()

    def similarity(self, texts: Sequence[str], embeddings: Floats) -> Floats:
        """Relevance as in the pseudo-labels, a sigmoid of the cosine: f32 [Q, N]."""
        pooled = self.texts.features([texts]).pooled[0].float().cpu().numpy()
        logits = (pooled @ embeddings.T - self.config.similarity_midpoint) / self.config.similarity_scale
        return (1 / (1 + np.exp(-logits))).astype(np.float32)

    def ruled(self, texts: Sequence[str], masks: Masks, crops: Floats) -> Floats:
        """Relevance of the name alone, times that of the anchor where the relation holds; of the extreme one alone."""
        named, anchors = zip(*referents(texts, self.reader), strict=True)
        relevance = self.similarity(named, crops)
        against = self.similarity([anchor or name for name, anchor in zip(named, anchors, strict=True)], crops)
        geometry = measure(masks, np.asarray(assign(masks, self.hierarchy)[1], np.int64), margin=0.0)
        rows = zip(texts, anchors, relevance, against, strict=True)
        return np.array([_placed(text, anchor, own, other, geometry) for text, anchor, own, other in rows], np.float32)


def circled(image: Image, masks: Masks, eye: Eye) -> Image:
    """The whole picture with a red ellipse around each mask's box: uint8 [N, s, s, 3], s the eye's size."""
    size = eye.size
    out: Image = np.repeat(eye.resized(image, size, size)[None], len(masks), axis=0)
    scale = np.array([size / image.shape[1], size / image.shape[0]])
    for picture, (x, y, w, h) in zip(out, masks.coco_boxes(), strict=True):
        centre, axes = np.array([x + w / 2, y + h / 2]) * scale, np.array([w, h]) * scale / 2 + 1
        ellipse = (centre.round().astype(int).tolist(), axes.round().astype(int).tolist())
        cv2.ellipse(picture, *ellipse, 0, 0, 360, RED, max(1, round(LINE * size)))
    return out


def blurred(image: Image, masks: Masks, eye: Eye) -> Image:
    """The whole picture sharp inside each mask alone: uint8 [N, s, s, 3], s the eye's size."""
    size = eye.size
    small = eye.resized(image, size, size)
    around = cv2.GaussianBlur(small, (0, 0), max(SIGMA * size, 0.5)).astype(np.float32)
    frame = Frame(None, False, size)
    height, width = frame.resized(masks.size)
    inside = masks.coverage((size, size), frame)[:, :height, :width]
    weights = [cv2.resize(mask, (size, size))[..., None] for mask in inside]
    mixed = [(around + weight * (small - around)).round().astype(np.uint8) for weight in weights]
    return np.stack(mixed)


def _placed(text: str, anchor: str, own: Floats, other: Floats, geometry: Geometry) -> Floats:
    """The name's relevance where its place holds: by rank among its likely masks, or by the likeliest anchor."""
    place = next((found.name for found in places(text)), "")
    candidates = own >= min(RELEVANT, float(own.max()))
    if place in SUPERLATIVES:
        return own * extreme(place, geometry, candidates)
    if place in RANKS:
        return _where(ranked(place, geometry, candidates), own)
    if not anchor:
        return own
    if place == CLOSEST:
        return _where(closest(geometry, candidates, int(other.argmax())), own)
    return own * (other[None] * _pairs(place, geometry)).max(axis=1, initial=0.0)


def _pairs(place: str, geometry: Geometry) -> Pairs:
    """Which mask stands so to which; what is no relation of two is read as that of a part to its whole."""
    if place in NEIGHBOURS:
        return beside(place, geometry)
    return geometry.relations.get(place, geometry.relations[PART_OF])


def _where(chosen: Pairs, own: Floats) -> Floats:
    """The relevance of what is chosen; of all where nothing clearly is."""
    return own * chosen if chosen.any() else own
