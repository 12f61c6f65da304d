"""Queries for what an image does not hold: without them a model learns which one is meant, and never whether any is.

Near misses come first: another colour of a kind that is there, the right things on the wrong side. A query is absent
where every mask is clearly irrelevant to it by the labels' own similarity and geometry, and no caption tells of it.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest

import numpy as np

from ml.labeling.geometry.relations import RELATIONS, SUPERLATIVES
from ml.labeling.language.phrases import Phrase
from ml.labeling.queries.query import Asker, Query
from ml.labeling.relevance import RELEVANT, Expression, Floats, Scores, Subject, Vocabulary

KIND = "absent"
NOWHERE = 0.2  # the highest relevance of any mask to what is absent
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
TOUCHING = ("inside", "overlapping")  # relations without a contrary
CONTRARY = 0.8  # of the wrong relations, those tried first that have one
TRIES = 24  # things of the shard tried an image, of its kinds and of others
NONE = -1


class Absent:
    """What is not in one image, of the things that its shard speaks of."""

    def __init__(
        self, asker: Asker, mentioned: Collection[Phrase], crops: Floats, words: Vocabulary, rng: np.random.Generator
    ) -> None:
        """`mentioned`: what the image's own caption speaks of, with a mask or without."""
        self.asker, self.rng = asker, rng
        self.anchors = [v for v, mask in enumerate(asker.alone.tolist()) if mask >= 0 and asker.countable[mask]]
        kinds = [_missing(tried, mentioned, crops, words) for tried in self._tried(words.things)]
        self.things = [thing for turn in zip_longest(*kinds) for thing in turn if thing is not None][:TRIES]
        self.subjects = [Subject(thing.name, thing.indefinite, thing.noun, thing.attributes) for thing in self.things]

    def queries(self, scores: Scores, count: int) -> list[Query]:
        """At most `count`, in turn: a name, two of right things in a wrong relation, an absent thing by its place.

        `scores`: of the asker's names and `subjects`.
        """
        misplaced = self._misplaced(scores)
        turns = zip_longest(self._names(), misplaced, misplaced, self._placed(scores))
        found = dict.fromkeys(query for turn in turns for query in turn if query is not None)
        return list(found)[:count]

    def _tried(self, things: Sequence[Phrase]) -> tuple[list[Phrase], list[Phrase]]:
        """Some of the shard's things in random order: those of a kind that is here, and the others."""
        shuffled = [things[i] for i in self.rng.permutation(len(things))]
        here = {region.phrase.noun for region in self.asker.regions.values()}
        near = [thing for thing in shuffled if thing.noun in here]
        far = [thing for thing in shuffled if thing.noun not in here]
        return near[:TRIES], far[:TRIES]

    def _names(self) -> Iterator[Query]:
        return (Query(KIND, NONE, Expression(subject)) for subject in self.subjects)

    def _misplaced(self, scores: Scores) -> Iterator[Query]:
        """Two things that are here, in a relation in which no two of their names stand."""
        asker = self.asker
        owned = np.flatnonzero((asker.owned & asker.countable).any(axis=1) & asker.usable).tolist()
        pairs = [(u, v) for u in owned for v in self.anchors if asker.names[u].noun != asker.names[v].noun]
        for i in self.rng.permutation(len(pairs))[:TRIES]:
            u, v = pairs[i]
            tried = (Expression(asker.names[u], relation, asker.names[v]) for relation in self._relations())
            wrong = (e for e in tried if scores.of(e).max() < NOWHERE and _clearly_not(e, scores))
            if expression := next(wrong, None):
                yield Query(KIND, NONE, expression, necessary=True, anchor=int(asker.alone[v]))

    def _relations(self) -> list[str]:
        """All of them in random order, mostly those with a contrary first: the right things on the wrong side."""
        shuffled = [RELATIONS[i] for i in self.rng.permutation(len(RELATIONS))]
        contrary_first = bool(self.rng.random() < CONTRARY)
        return sorted(shuffled, key=lambda relation: (relation in TOUCHING) == contrary_first)

    def _placed(self, scores: Scores) -> Iterator[Query]:
        """An absent thing as the extreme one of its name, beside a thing that is here, or as what that is beside."""
        asker = self.asker
        for subject in self.subjects:
            if not self.anchors or self.rng.random() < 0.4:
                yield Query(KIND, NONE, Expression(subject, SUPERLATIVES[int(self.rng.integers(len(SUPERLATIVES)))]))
                continue
            v = self.anchors[int(self.rng.integers(len(self.anchors)))]
            relation = RELATIONS[int(self.rng.integers(len(RELATIONS)))]
            if self.rng.random() < 0.5:
                yield Query(KIND, NONE, Expression(subject, relation, asker.names[v]), anchor=int(asker.alone[v]))
            else:
                yield Query(KIND, NONE, Expression(asker.names[v], relation, subject))


def _clearly_not(expression: Expression, scores: Scores) -> bool:
    """Whether the contrary holds, where there is one: side by side is neither above nor below."""
    subject, relation, anchor = expression.subject, expression.relation, expression.anchor
    if relation == "larger than" and anchor is not None:
        return bool(scores.of(Expression(anchor, relation, subject)).max() >= RELEVANT)
    if relation not in OPPOSITE:
        return True
    return bool(scores.of(Expression(subject, OPPOSITE[relation], anchor)).max() >= RELEVANT)


def _missing(things: Sequence[Phrase], mentioned: Collection[Phrase], crops: Floats, words: Vocabulary) -> list[Phrase]:
    """Those that no crop shows and nobody mentions."""
    highest = words.similarity([thing.indefinite for thing in things], crops).max(axis=1, initial=0.0)
    return [
        thing
        for thing, best in zip(things, highest, strict=True)
        if best < NOWHERE and not any(_might_mean(thing, other) for other in mentioned)
    ]


def _might_mean(thing: Phrase, other: Phrase) -> bool:
    """Whether the other, as it is told, might be such a thing: its noun, and nothing said against it."""
    return thing.noun == other.noun and (not other.attributes or set(thing.attributes) <= set(other.attributes))
