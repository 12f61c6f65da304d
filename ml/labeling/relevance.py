"""Relevance of every mask to an expression: CLIP similarity of crops, times geometry, all in [0, 1]."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.labeling.geometry.neighbours import BETWEEN, CLOSEST, beside, between, closest
from ml.labeling.geometry.ranks import RANKS, ranked, several
from ml.labeling.geometry.relations import PART_OF, RELATIONS, SUPERLATIVES, Geometry, extreme
from ml.labeling.language.phrases import Phrase

Floats = NDArray[np.float32]

RELEVANT = 0.5
HALF = 0.48  # the most that a mask is relevant for its overlap with another
TWO_SIZES = 1.6  # least ratio of the mean areas of "large" and "small" things of one noun
SIZE_SCALE = 0.15  # of the gap between the two, in log area, a logit


@dataclass(frozen=True)
class Subject:
    """What an expression names: CLIP reads `prompt`; `size` ("small", "large", "") comes from geometry."""

    text: str
    prompt: str
    noun: str
    attributes: tuple[str, ...] = ()
    size: str = ""

    def fits(self, thing: Phrase) -> bool:
        """Whether this name might mean a thing: its noun, and nothing said that the thing is not."""
        return self.noun == thing.noun and set(self.attributes) <= set(thing.attributes)


@dataclass(frozen=True)
class Expression:
    """A subject alone, a superlative of it, or a subject in a relation to an anchor.

    Between an anchor and another; between the two of the anchor's name where there is no other.
    """

    subject: Subject
    relation: str = ""
    anchor: Subject | None = None
    other: Subject | None = None


class Vocabulary:
    """The prompts of a shard with their text embeddings, f32 [T, e], and the mapping from cosine to relevance.

    `things`: those phrases that name one thing of its own.
    """

    def __init__(
        self, prompts: Sequence[str], things: Sequence[Phrase], embeddings: Floats, midpoint: float, scale: float
    ) -> None:
        self.things = things
        self._index = {prompt: i for i, prompt in enumerate(prompts)}
        self._embeddings = embeddings
        self._midpoint, self._scale = midpoint, scale

    def similarity(self, prompts: Sequence[str], crops: Floats) -> Floats:
        """Relevance of L2-normalised crop embeddings [N, e] to prompts: f32 [len(prompts), N].

        sigmoid((cosine - midpoint) / scale).
        """
        texts = self._embeddings[[self._index[prompt] for prompt in prompts]]
        return _sigmoid((texts @ crops.T - self._midpoint) / self._scale)

    def own_similarity(self, prompts: Sequence[str], crops: Floats) -> Floats:
        """Relevance of each of N crops to its own prompt: f32 [N]."""
        texts = self._embeddings[[self._index[prompt] for prompt in prompts]]
        return _sigmoid(((texts * crops).sum(axis=1) - self._midpoint) / self._scale)


@dataclass(frozen=True)
class Sizes:
    """Where small ends and large begins, for each noun of a shard that comes in two sizes.

    `split`: noun -> (middle, gap) in log fractions of the image.
    """

    split: dict[str, tuple[float, float]]

    @classmethod
    def fit(cls, nouns: Sequence[str], areas: Sequence[float]) -> "Sizes":
        """Two clusters of log area a noun; nouns without a clear gap get no size words."""
        found = {}
        values = np.log(np.asarray(areas, np.float64))
        for noun in sorted(set(nouns)):
            low, high = _two_means(values[[other == noun for other in nouns]])
            if high - low >= np.log(TWO_SIZES):
                found[noun] = ((low + high) / 2, high - low)
        return cls(found)

    def word(self, noun: str, area: float, sure: float) -> str:
        """The word "small" or "large" for a thing of this area, a fraction of the image; "" where that is not sure."""
        if noun not in self.split:
            return ""
        large = float(self.factor(noun, "large", np.array([area]))[0])
        return "large" if large >= sure else "small" if large <= 1 - sure else ""

    def factor(self, noun: str, size: str, areas: NDArray[np.float64]) -> Floats:
        """How small or large masks of these areas (fractions) are for things of this noun: f32 [N]."""
        if not size:
            return np.ones(len(areas), np.float32)
        middle, gap = self.split[noun]
        large = _sigmoid((np.log(np.maximum(areas, 1e-12)) - middle) / (SIZE_SCALE * gap))
        return large if size == "large" else 1 - large


class Scores:
    """Relevance of the N masks of an image to U subjects, and to their superlatives and relations.

    Attributes:
        subjects: f32 [U, N].
    """

    def __init__(
        self, subjects: Sequence[Subject], crops: Floats, geometry: Geometry, words: Vocabulary, sizes: Sizes
    ) -> None:
        self.geometry = geometry
        self._index = {subject: i for i, subject in enumerate(subjects)}
        factors = [sizes.factor(subject.noun, subject.size, geometry.areas) for subject in subjects]
        similarity = words.similarity([subject.prompt for subject in subjects], crops)
        self.subjects = similarity * np.array(factors, np.float32).reshape(similarity.shape)
        self._near = {name: self._reach(geometry.relations[name]) for name in (*RELATIONS, PART_OF)}

    def of(self, expression: Expression) -> Floats:
        """Relevance of every mask to an expression: f32 [N]."""
        subject = self.subjects[self._index[expression.subject]]
        if expression.relation in SUPERLATIVES:
            return subject * extreme(expression.relation, self.geometry, subject >= RELEVANT)
        if expression.relation in RANKS:
            return subject * ranked(expression.relation, self.geometry, subject >= RELEVANT)
        if expression.anchor is None:
            return subject
        if expression.relation in (CLOSEST, BETWEEN):
            return subject * self._told_against(expression, subject >= RELEVANT)
        return subject * self._reach_of(expression.relation)[self._index[expression.anchor]]

    def related(self, relation: str) -> Floats:
        """All pairs of subjects in a relation at once: f32 [U targets, U anchors, N]."""
        return self.subjects[:, None, :] * self._reach_of(relation)[None, :, :]

    def ends(self, expression: Expression) -> list[int]:
        """The masks an anchor, and another, most likely are; between nothing but an anchor, all those of its name."""
        rows = [self.subjects[self._index[end]] for end in (expression.anchor, expression.other) if end is not None]
        if len(rows) == 1 and expression.relation == BETWEEN:
            return several(self.geometry, rows[0] >= RELEVANT).tolist()
        return [int(row.argmax()) for row in rows]

    def _told_against(self, expression: Expression, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The candidate closest to the anchor, or all masks between its ends: bool [N]."""
        ends = self.ends(expression)
        if expression.relation == CLOSEST:
            return closest(self.geometry, candidates, ends[0])
        return between(self.geometry, *ends) if len(ends) == 2 else np.zeros(len(candidates), bool)

    def _reach_of(self, relation: str) -> Floats:
        """`_reach` of a relation; of one of neighbours, when it is first asked for."""
        if relation not in self._near:
            self._near[relation] = self._reach(beside(relation, self.geometry))
        return self._near[relation]

    def _reach(self, pairs: NDArray[np.bool_]) -> Floats:
        """How much each mask stands in a relation to any mask of a subject: max over anchors, f32 [U, N]."""
        return (self.subjects[:, None, :] * pairs[None, :, :]).max(axis=2, initial=0.0)


def lift(relevance: Floats, targets: Sequence[int], geometry: Geometry) -> Floats:
    """Give masks their share in what is meant: f32 [Q, N].

    Near-duplicates of a query's target are at least as relevant as that. A mask that overlaps one that is meant is as
    relevant as the overlap (IoU) tells, and never relevant by that alone: a roof is a good part of the house.
    """
    own = relevance[np.arange(len(targets)), list(targets)]
    again = np.where(geometry.duplicates[list(targets)], np.maximum(relevance, own[:, None]), relevance)
    meant = np.where(again >= RELEVANT, again, 0)
    shared = (meant[:, :, None] * geometry.overlaps[None]).max(axis=1, initial=0.0)
    return np.maximum(again, np.minimum(shared, HALF)).astype(np.float32)


def _two_means(values: NDArray[np.float64]) -> tuple[float, float]:
    """The means of the two clusters that split sorted values with the least variance within."""
    ordered = np.sort(values)
    n = len(ordered)
    if n < 2:
        return float(ordered.mean()), float(ordered.mean())
    left = np.cumsum(ordered)[:-1] / np.arange(1, n)
    right = np.cumsum(ordered[::-1])[-2::-1] / np.arange(n - 1, 0, -1)
    between = np.arange(1, n) * np.arange(n - 1, 0, -1) * (right - left) ** 2
    best = int(between.argmax())
    return float(left[best]), float(right[best])


def _sigmoid(x: NDArray[np.floating]) -> Floats:
    return (1 / (1 + np.exp(-np.clip(x, -60, 60)))).astype(np.float32)
