"""Queries in people's own words of place: sides as nouns, ordinals, corners, the middle, near and far, neighbours.

They have a budget and random draws of their own, so that they take nothing from the queries of `Asker`. Each is clear
twice: the geometry means one mask strictly, and no other one loosely. Of several, all must be described as such. What
`Asker` never asks for is rare, so every other turn is its own; ranks are a kind of their own.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, zip_longest

import numpy as np
from numpy.typing import NDArray

from ml.labeling.geometry.neighbours import BETWEEN, CLOSEST, NEIGHBOURS, beside, between
from ml.labeling.geometry.ranks import RANKS, several
from ml.labeling.language.phrases import plural
from ml.labeling.language.ways import WAYS
from ml.labeling.queries.query import Asker, Query, clear_targets
from ml.labeling.relevance import RELEVANT, Expression, Subject

SAID_ANEW = (  # places of the asker's queries, in other words
    *("leftmost", "rightmost", "topmost", "bottommost", "largest", "smallest"),
    *("left of", "right of", "below"),
)
RANK = "rank"  # the kind of ordinals, corners, the middle, near and far
LOOSE = 2.5  # times as far as what is strictly so


class Placed:
    """The queries of one image in the words of place that people use."""

    def __init__(self, asker: Asker, rng: np.random.Generator) -> None:
        self.asker, self.rng = asker, rng
        self.geometry, self.subjects = asker.scores.geometry, asker.scores.subjects
        self.row = {name: u for u, name in enumerate(asker.names)}
        self.several = [u for u in asker.several() if not asker.names[u].size and asker.described(u)]
        named: dict[int, list[int]] = {}
        for v in np.flatnonzero((asker.alone >= 0) & asker.countable[asker.alone]).tolist():
            named.setdefault(int(asker.alone[v]), []).append(v)
        self.anchors = [vs[int(rng.integers(len(vs)))] for vs in named.values()]  # one name a mask

    def queries(self, count: int) -> list[Query]:
        """At most `count`: in turn one that is never asked else, and one that is said anew."""
        if count == 0:
            return []
        rare = [*self._ranks(), *self._neighbours(), *self._closest(), *self._between()]
        turns = zip_longest(self._by_place(rare), self._by_place(list(self._anew())))
        return [query for turn in turns for query in turn if query is not None][:count]

    def _by_place(self, found: Sequence[Query]) -> list[Query]:
        """All of them in turn over their places, which come in random order; of a place those first that need it."""
        piles: dict[str, list[Query]] = {}
        for query in sorted((found[i] for i in self.rng.permutation(len(found))), key=lambda q: not q.necessary):
            piles.setdefault(query.expression.relation, []).append(query)
        names = sorted(piles)
        turns = zip_longest(*(piles[names[i]] for i in self.rng.permutation(len(names))))
        return [query for turn in turns for query in turn if query is not None]

    def text(self, query: Query) -> str:
        """The query in English, as one of the ways to say its place."""
        subject, anchor, other = query.expression.subject, query.expression.anchor, query.expression.other
        pair = query.expression.relation == BETWEEN and other is None
        said = [way for way in WAYS[query.expression.relation].said if ("{anchors}" in way) == pair]
        words = {"thing": subject.text, "anchor": anchor.text if anchor else "", "other": other.text if other else ""}
        words["anchors"] = _several(anchor.text) if anchor else ""
        the = "the " if self.rng.random() < 0.4 else ""
        return the + said[int(self.rng.integers(len(said)))].format(**words)

    def _anew(self) -> Iterator[Query]:
        asked = (*self.asker.superlatives(), *self.asker.relations())
        return (query for query in asked if query.expression.relation in SAID_ANEW)

    def _ranks(self) -> Iterator[Query]:
        expressions = (Expression(self.asker.names[u], name) for u in self.several for name in RANKS)
        return self._clear(RANK, expressions)

    def _neighbours(self) -> Iterator[Query]:
        """Two near each other, where no other of the name is roughly so."""
        for name in NEIGHBOURS:
            roughly = beside(name, self.geometry, LOOSE)
            for query in self.asker.pairs("relation", name, self.asker.countable):
                also = roughly[:, query.anchor] & (self.subjects[self.row[query.expression.subject]] >= RELEVANT)
                if self._only(query.target, also):
                    yield query

    def _closest(self) -> Iterator[Query]:
        pairs = ((u, v) for u in self.several for v in self.anchors)
        names = self.asker.names
        return self._clear("relation", (Expression(names[u], CLOSEST, names[v]) for u, v in pairs))

    def _between(self) -> Iterator[Query]:
        """What stands between two things, or between the two of a name."""
        asker, names = self.asker, self.asker.names
        for anchor, other, a, b in self._ends():
            amid = between(self.geometry, a, b) & asker.countable
            also = between(self.geometry, a, b, LOOSE)
            here = np.flatnonzero(asker.owned[:, amid].any(axis=1) & asker.usable).tolist()
            told = [Expression(names[u], BETWEEN, anchor, other) for u in here if other or names[u].noun != anchor.noun]
            for query in self._clear("relation", told):
                if self._only(query.target, also & (self.subjects[self.row[query.expression.subject]] >= RELEVANT)):
                    yield query

    def _ends(self) -> Iterator[tuple[Subject, Subject | None, int, int]]:
        """Two things by their names and masks, and the two of a name."""
        names, alone = self.asker.names, self.asker.alone.tolist()
        for v, w in combinations(self.anchors, 2):
            yield names[v], names[w], alone[v], alone[w]
        for u in self.several:
            two = several(self.geometry, self.subjects[u] >= RELEVANT).tolist()
            if len(two) == 2:
                yield names[u], None, two[0], two[1]

    def _clear(self, kind: str, expressions: Iterator[Expression] | Sequence[Expression]) -> Iterator[Query]:
        """The queries of expressions that mean one described thing."""
        asker = self.asker
        for expression in expressions:
            target = int(clear_targets(asker.scores.of(expression)[None], self.geometry)[0])
            u = self.row[expression.subject]
            if target >= 0 and asker.owned[u, target] and asker.countable[target]:
                necessary = bool(asker.alone[u] != target)
                yield Query(kind, target, expression, necessary, self._anchor(expression))

    def _anchor(self, expression: Expression) -> int:
        """The mask that a place is told against, of two the first; -1 for none."""
        return self.asker.scores.ends(expression)[0] if expression.anchor else -1

    def _only(self, target: int, also: NDArray[np.bool_]) -> bool:
        """Whether nothing but the target, its near-duplicates and parts is roughly so."""
        return set(several(self.geometry, also | self.geometry.duplicates[target]).tolist()) <= set(
            np.flatnonzero(self.geometry.duplicates[target]).tolist()
        )


def _several(name: str) -> str:
    """The plural of a name: "red cars"."""
    *attributes, noun = name.split()
    return " ".join([*attributes, plural(noun)])
