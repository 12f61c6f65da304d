"""Questions about an image with their answers and the mask that shows them, from its phrases and relations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from ml.labeling.geometry.relations import Geometry
from ml.labeling.language.words import COLORS, number_word, plural
from ml.labeling.queries.query import Asker, Query, Region, phrase_text
from ml.labeling.relevance import RELEVANT, Floats, Vocabulary

DIRECTIONS = ("left of", "right of", "above", "below")
ABSENT = 0.2  # a phrase is absent where no mask is more relevant
NONE = -1
TRIES = 8  # absent things tried an image


@dataclass(frozen=True)
class Question:
    """`evidence`: the mask that shows the answer, -1 where no single one does."""

    question: str
    answer: str
    evidence: int


def ask(
    asker: Asker,
    queries: Sequence[Query],
    levels: Sequence[str],
    crops: Floats,
    words: Vocabulary,
    count: int,
    rng: np.random.Generator,
) -> list[Question]:
    """At most `count` questions: of color, number, place and presence in turn.

    Args:
        queries: all clear queries of the image.
        levels: of all N masks.
        crops: f32 [N, e], the masks' CLIP embeddings, in which absent things are looked for.
    """
    kinds = [
        list(_colors(asker, queries, count, rng)),
        list(_counts(asker)),
        list(_places(asker, np.array([level == "object" for level in levels]))),
        _presence(asker, crops, words, rng),
    ]
    shuffled = [[found[i] for i in rng.permutation(len(found))] for found in kinds]
    turns = zip_longest(*shuffled)
    return [question for turn in turns for question in turn if question is not None][:count]


def _colors(asker: Asker, queries: Sequence[Query], count: int, rng: np.random.Generator) -> Iterator[Question]:
    """Ask "what color is the car left of the house?", of queries that tell no color of the car."""
    colored = {i for i, region in asker.regions.items() if region.countable and region.phrase.color}
    silent = {name for name in asker.names if not COLORS & set(name.text.split())}
    askable = [query for query in queries if query.target in colored and query.expression.subject in silent]
    for i in rng.permutation(len(askable))[:count]:
        text = phrase_text(askable[i], rng).removeprefix("the ")
        target = askable[i].target
        yield Question(f"what color is the {text}?", asker.regions[target].phrase.color, target)


def _counts(asker: Asker) -> Iterator[Question]:
    """Ask "how many cars are there?", where captions and similarity agree on the number."""
    for u, name in enumerate(asker.names):
        described = asker.owned[u] & asker.countable
        if name.text != name.noun or not asker.usable[u] or not described.any():
            continue
        n = _distinct(described, asker.scores.geometry)
        similar = (asker.scores.subjects[u] >= RELEVANT) & ~asker.is_part
        if n == _distinct(similar, asker.scores.geometry):
            evidence = int(described.argmax()) if n == 1 else NONE
            yield Question(f"how many {plural(name.noun)} are there?", number_word(n), evidence)


def _places(asker: Asker, objects: NDArray[np.bool_]) -> Iterator[Question]:
    """Ask "what is left of the house?", where one thing alone is, described or not."""
    geometry = asker.scores.geometry
    for v, anchor in enumerate(asker.names):
        mask = int(asker.alone[v])
        if mask < 0 or not asker.countable[mask]:
            continue
        for relation in DIRECTIONS:
            there = geometry.relations[relation][:, mask] & (objects | asker.countable)
            if _distinct(there, geometry) == 1 and asker.countable[there].any():
                region = asker.regions[int((there & asker.countable).argmax())]
                yield Question(f"what is {relation} the {anchor.text}?", region.phrase.indefinite, region.index)


def _presence(asker: Asker, crops: Floats, words: Vocabulary, rng: np.random.Generator) -> list[Question]:
    """A yes and a no: a thing that is here, and one of the shard's that is not."""
    here = [region for region in asker.regions.values() if region.countable]
    elsewhere = [words.things[i].indefinite for i in rng.permutation(len(words.things))[:TRIES]]
    highest = words.similarity(elsewhere, crops).max(axis=1, initial=0.0)
    absent = [text for text, best in zip(elsewhere, highest, strict=True) if best < ABSENT]
    found = [_presence_question(here[int(rng.integers(len(here)))])] if here else []
    return found + [Question(f"is there {text}?", "no", NONE) for text in absent[:1]]


def _presence_question(region: Region) -> Question:
    return Question(f"is there {region.phrase.indefinite}?", "yes", region.index)


def _distinct(chosen: NDArray[np.bool_], geometry: Geometry) -> int:
    """How many of the chosen masks (bool [N]) there are when near-duplicates count once."""
    first = ~np.triu(geometry.duplicates[np.ix_(chosen, chosen)], 1).any(axis=0)
    return int(first.sum())
