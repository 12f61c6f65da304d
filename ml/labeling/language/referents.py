"""What a query speaks of: the thing that it names, and the other that its place is told against.

"the red car left of a house" names a red car and leans on a house; "the leftmost car" and "the car on the left" name a
car; "the wheel of the red car" names a wheel and leans on a red car. What is said of places is left to geometry: a
frozen CLIP reads "left" and "right" alike, but it knows cars and houses.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ml.labeling.geometry.relations import SUPERLATIVES
from ml.labeling.language.english import English
from ml.labeling.language.phrases import Phrase
from ml.labeling.language.places import AGAINST, RANK_WORDS, places

SIDES = frozenset(["left", "right", "top", "bottom", "middle", "center", "centre", "side", "corner", "front", "back"])
PLACES = frozenset(SUPERLATIVES) | SIDES
QUESTION = re.compile(r"^(what is|what color is|is there|are there|how many)\b")


class Referents(NamedTuple):
    """Prompts for CLIP, "red car"; `anchor` is "" where a query leans on nothing."""

    name: str
    anchor: str


def referents(queries: Sequence[str], reader: English) -> list[Referents]:
    """Of each query the thing named and the anchor, as prompts; one without any noun names itself."""
    read = reader.read(_unplaced(QUESTION.sub("", query.lower())) for query in queries)
    return [_spoken_of(query, _each(query, told.things)) for query, told in zip(queries, read, strict=True)]


def _each(query: str, things: Sequence[Phrase]) -> Sequence[Phrase]:
    """The things spoken of; of what is counted one, as each is seen: "how many cars" is asked of every car."""
    return [replace(thing, number=1) for thing in things] if query.lower().startswith("how many") else things


def _unplaced(text: str) -> str:
    """A text with "beside" for what things are told against, and without ranks: "second car from the left" is a car."""
    for place in reversed(places(text)):
        words = text[place.start : place.end].replace("-", " ").split()
        article = words[:1] if words[0] == "the" and place.end < len(text) else []
        left = " ".join(article + [word for word in words if word not in RANK_WORDS])
        text = text[: place.start] + (f" {left} " if place.name not in AGAINST else " beside ") + text[place.end :]
    return text


def _spoken_of(query: str, things: Sequence[Phrase]) -> Referents:
    phrases = [phrase for phrase in map(placeless, things) if phrase]
    if not phrases:
        return Referents(query, "")
    named, *others = phrases
    whole = placeless(named.whole) if named.whole else None
    anchors = [whole, *others] if whole else others
    return Referents(prompt(replace(named, whole=None)), prompt(anchors[0]) if anchors else "")


def prompt(phrase: Phrase) -> str:
    """One thing without its article, since a query need not say whether it is stuff; several as a group."""
    return phrase.name if phrase.number == 1 else phrase.indefinite


def placeless(phrase: Phrase) -> Phrase | None:
    """The phrase without words of place; None where it is nothing but a place, as in "on the left"."""
    if phrase.noun in PLACES:
        return None
    told = tuple(attribute for attribute in phrase.attributes if PLACES.isdisjoint(attribute.split()))
    return replace(phrase, attributes=told)
