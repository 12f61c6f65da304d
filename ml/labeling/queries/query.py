"""Queries about an image that are clear by their own relevance: one region, or all of a name.

One is meant by its name alone, by place, by size, or as part of another.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from ml.labeling.geometry.ranks import several
from ml.labeling.geometry.relations import PART_OF, RELATIONS, SUPERLATIVES, Geometry, lead
from ml.labeling.language.phrases import Phrase
from ml.labeling.relevance import RELEVANT, Expression, Floats, Scores, Subject

CLEAR = 0.6  # least relevance of a target
GAP = 0.25  # by which it must beat every other mask, near-duplicates and own parts aside
LEAD = 0.06  # by which a superlative must win, in image sides; a quarter of the log of two areas' ratio
SIDES = {"leftmost": "left", "rightmost": "right"}
SEVERAL = "several"  # the kind of queries that mean more than one thing


@dataclass(frozen=True)
class Region:
    """A described mask. `size`: small or large among its kind, "" where neither can be said."""

    index: int
    phrase: Phrase
    level: str
    size: str = ""

    @property
    def countable(self) -> bool:
        """Whether it is one thing of its own by its phrase, and an object by its level."""
        return self.phrase.countable and self.level == "object"

    @property
    def kind(self) -> str:
        """Its queries' kind when it is named without place."""
        if self.level == "scene":
            return "scene"
        return "attribute" if self.phrase.number == 1 else "group"

    def subjects(self) -> list[Subject]:
        """Its names, barest first: "car", "red car", "small car", "small red car"."""
        phrases = dict.fromkeys([self.phrase.bare(), replace(self.phrase, whole=None)])
        plain = [Subject(phrase.name, phrase.indefinite, phrase.noun, phrase.attributes) for phrase in phrases]
        if not (self.size and self.countable):
            return plain
        return plain + [replace(name, text=f"{self.size} {name.text}", size=self.size) for name in plain]


@dataclass(frozen=True)
class Query:
    """A query and the mask it means, of several the surest. `necessary`: it would be ambiguous without place or whole.

    `anchor`: the mask of what its place is told against, or of its whole; -1 for none.
    """

    kind: str
    target: int
    expression: Expression
    necessary: bool = False
    anchor: int = -1


def subjects(regions: Sequence[Region]) -> list[Subject]:
    """The names of all regions, each once."""
    return list(dict.fromkeys(subject for region in regions for subject in region.subjects()))


def choose(queries: Sequence[Query], count: int, key: str, rng: np.random.Generator) -> list[Query]:
    """At most `count` queries, in turn over their kinds (`key` "kind") or relations (`key` "relation").

    Of a kind, those come first whose place or whole is necessary.
    """
    order = rng.permutation(len(queries))
    piles: dict[str, list[Query]] = {}
    for query in sorted((queries[i] for i in order), key=lambda query: not query.necessary):
        piles.setdefault(query.kind if key == "kind" else query.expression.relation, []).append(query)
    turns = zip_longest(*(piles[name] for name in sorted(piles)))
    return [query for turn in turns for query in turn if query is not None][:count]


def phrase_text(query: Query, rng: np.random.Generator) -> str:
    """The query in English, as one of the ways to say it."""
    subject, relation, anchor = query.expression.subject, query.expression.relation, query.expression.anchor
    the = "the " if rng.random() < 0.6 else ""
    if relation in SUPERLATIVES:
        if relation in SIDES and rng.random() < 0.4:
            return f"{the}{subject.text} on the {SIDES[relation]}"
        return f"{the}{relation} {subject.text}"
    if anchor is not None:
        to_the = "to the " if relation in ("left of", "right of") and rng.random() < 0.4 else ""
        return f"the {subject.text} {to_the}{relation} the {anchor.text}"
    if query.kind == "group":
        return subject.prompt if rng.random() < 0.5 else subject.text
    return f"{the}{subject.text}"


def clear_targets(rows: Floats, geometry: Geometry, also: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """The mask each row of relevance [K, N] means: i64 [K], -1 where none is clearly the highest.

    Near-duplicates of the target and its own parts may be as relevant, and `also` [N, N]'s row of the target.
    """
    target = rows.argmax(axis=1)
    aside = _aside(geometry) if also is None else _aside(geometry) | also
    others = np.where(aside[target], 0.0, rows).max(axis=1)
    best = rows[np.arange(len(rows)), target]
    return np.where((best >= CLEAR) & (others <= best - GAP) & (others < RELEVANT), target, -1)


class Asker:
    """The queries of one image that are clear by their own relevance, kind by kind.

    Attributes:
        owned: bool [U, N], subject u is a name of mask n.
        countable: bool [N], masks described as one thing of its own; `is_part`: as a part.
        alone: i64 [U], the mask that each subject means by itself, -1 where it is ambiguous.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        names: Sequence[Subject],
        scores: Scores,
        unseen: Collection[Phrase] = (),
    ) -> None:
        """`unseen`: things that are there but have no mask; names that might mean them are not used."""
        self.regions = {region.index: region for region in regions}
        self.names = names
        self.scores = scores
        U, N = scores.subjects.shape
        row = {subject: u for u, subject in enumerate(names)}
        self.owned = np.zeros((U, N), bool)
        for region in regions:
            self.owned[[row[subject] for subject in region.subjects()], region.index] = True
        self.countable = _mark(N, [region.index for region in regions if region.countable])
        self.is_part = _mark(N, [region.index for region in regions if region.phrase.whole])
        self.usable = np.array([not any(name.fits(thing) for thing in unseen) for name in names], bool)
        self.alone = np.where(self.usable, clear_targets(scores.subjects, scores.geometry), -1)

    def all(self) -> list[Query]:
        """Every clear query: `plain`, `shared`, `superlatives`, `parts` and `relations`, in this order."""
        return [*self.plain(), *self.shared(), *self.superlatives(), *self.parts(), *self.relations()]

    def plain(self) -> Iterator[Query]:
        """Objects, groups and stuff by name."""
        for u, target in enumerate(self.alone):
            if target >= 0 and self.owned[u, target] and not self.is_part[target]:
                yield Query(self.regions[target].kind, int(target), Expression(self.names[u]))

    def shared(self) -> Iterator[Query]:
        """Names that several things have, and each of them surely: who asks for a dog where there are two means both.

        Without them, all that is ever asked means one thing, and a model learns that a second dog is none.
        """
        for u in self.several():
            values = self.scores.subjects[u]
            sure = values >= CLEAR
            doubtful = (values > CLEAR - GAP) & ~_aside(self.scores.geometry)[sure].any(axis=0)
            if self.described(u) and not (doubtful & ~sure).any():
                yield Query(SEVERAL, int(values.argmax()), Expression(self.names[u]))

    def described(self, u: int) -> bool:
        """Whether a name might mean several masks, and each of them was described as one thing of that name."""
        among = several(self.scores.geometry, self.scores.subjects[u] >= RELEVANT)
        return len(among) > 1 and bool((self.owned[u] & self.countable)[among].all())

    def superlatives(self) -> Iterator[Query]:
        """The extreme one of several of a name, where it is well ahead."""
        for u in self.several():
            for name in SUPERLATIVES if not self.names[u].size else ():
                expression = Expression(self.names[u], name)
                target = int(clear_targets(self.scores.of(expression)[None], self.scores.geometry)[0])
                if target >= 0 and self.owned[u, target] and self.countable[target] and self._ahead(u, name):
                    yield Query("superlative", target, expression, necessary=True)

    def several(self) -> list[int]:
        """Names of things, each of which more than one might be."""
        return np.flatnonzero((self.owned & self.countable).any(1) & self.usable & (self.alone < 0)).tolist()

    def parts(self) -> Iterator[Query]:
        """A part by its whole; the others of its name at the same whole are as relevant."""
        below = self.scores.geometry.relations[PART_OF].astype(np.float32)
        named_alike = self.owned.T.astype(np.float32) @ self.owned > 0
        yield from self.pairs("part", PART_OF, self.is_part, (below @ below.T > 0) & named_alike)

    def relations(self) -> Iterator[Query]:
        """A thing by its place or size against another."""
        for name in RELATIONS:
            yield from self.pairs("relation", name, self.countable)

    def pairs(
        self, kind: str, relation: str, targets: NDArray[np.bool_], also: NDArray[np.bool_] | None = None
    ) -> Iterator[Query]:
        """Subjects in a relation to anchors that are clear by themselves."""
        rows = self.scores.related(relation)
        U, _, N = rows.shape
        means = clear_targets(rows.reshape(U * U, N), self.scores.geometry, also).reshape(U, U)
        anchors = (self.alone >= 0) & self.countable[self.alone]
        for u, v in zip(*np.nonzero((means >= 0) & anchors & self.usable[:, None]), strict=True):
            target = int(means[u, v])
            if targets[target] and self.owned[u, target]:
                expression = Expression(self.names[u], relation, self.names[v])
                yield Query(kind, target, expression, bool(self.alone[u] != target), int(self.alone[v]))

    def _ahead(self, u: int, name: str) -> bool:
        """Whether a superlative's extreme wins clearly over at least one other."""
        ahead = lead(name, self.scores.geometry, self.scores.subjects[u] >= RELEVANT)
        return (LEAD * 4 if name in ("largest", "smallest") else LEAD) <= ahead < np.inf


def _aside(geometry: Geometry) -> NDArray[np.bool_]:
    """Which masks may be as relevant as another: bool [N, N], row i: the near-duplicates and parts of mask i."""
    return geometry.duplicates | geometry.relations[PART_OF].T


def _mark(n: int, indices: Sequence[int]) -> NDArray[np.bool_]:
    marked = np.zeros(n, bool)
    marked[list(indices)] = True
    return marked
