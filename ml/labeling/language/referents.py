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
from ml.labeling.language.words import listed

SIDES = frozenset(["left", "right", "top", "bottom", "middle", "center", "centre", "side", "corner", "front", "back"])
PICTURES = frozenset(["picture", "photo", "photograph", "image", "scene", "camera", "viewer"])
PLACES = frozenset(SUPERLATIVES) | SIDES
RANKS = listed("other same one first second third fourth fifth last next")  # "the other dog" looks like any dog
QUESTION = re.compile(r"^(what is|what color is|is there|are there|how many)\b")
# "between two cars, the dog"; "not the red car, the other one": the thing comes behind what it is told by.
FRONTED = re.compile(
    r"^((?:(?:left|right|out) of|(?:next|closest|nearest) to|between|among|of|in|on|at|from|to|by|near|above|below|"
    r"under|behind|beside|inside|not|count(?:ing|ed) from)\b[^,]*), (.+)$"
)
# "tallest"; not "chest", "forest".
SUPERLATIVE = r"(?!(?:(?:fo|c|ar|inte)?rest|vest|chest|nest|guest|test|west|priest|quest|harvest)\b)\w{2,}est"
_RANK = (
    rf"number \w+|(?:the )?(?:one|{SUPERLATIVE}|\w+most|first|second|third|fourth|fifth|last|\d(?:st|nd|rd|th)|middle)"
)
_THESE = r"(?:all )?(?:of )?(?:the|these|those)"
# "number two of the dogs", "of the three dogs the one on the left": one of several, and each looks like one dog.
ONE_OF = re.compile(rf"\b(?:{_RANK}) of {_THESE} |^(?:of|out of|among) {_THESE} (?=.*\bone\b)")


class Referents(NamedTuple):
    """Prompts for CLIP, "red car"; `anchor` is "" where a query leans on nothing."""

    name: str
    anchor: str


UNREAD = Referents("", "")


def referents(queries: Sequence[str], reader: English) -> list[Referents]:
    """Of each query the thing named and the anchor, as prompts; one without any noun names itself."""
    read = reader.read(_unplaced(_thing_first(QUESTION.sub("", query.lower()))) for query in queries)
    return [_spoken_of(query, _each(query, told.things)) for query, told in zip(queries, read, strict=True)]


def _thing_first(text: str) -> str:
    """A text with what it asks for before what that is told by, and one of several as one of them."""
    text = FRONTED.sub(r"\2 , \1", text)
    return ONE_OF.sub("the ", text)


def _each(query: str, things: Sequence[Phrase]) -> Sequence[Phrase]:
    """The things spoken of; of what is counted, or is one of several, one as each is seen."""
    if query.lower().startswith("how many"):  # is asked of every car
        return [replace(thing, number=1) for thing in things]
    if things and ONE_OF.search(query.lower()):
        return [replace(things[0], number=1), *things[1:]]
    return things


def _unplaced(text: str) -> str:
    """A text with "beside" for what things are told against, and without ranks: "second car from the left" is a car."""
    for place in reversed(places(text)):
        words = text[place.start : place.end].replace("-", " ").split()
        article = words[:1] if words[0] == "the" and place.end < len(text) else []
        left = " ".join(article + [word for word in words if word not in RANK_WORDS])
        text = text[: place.start] + (f" {left} " if place.name not in AGAINST else " beside ") + text[place.end :]
    return text


def _spoken_of(query: str, things: Sequence[Phrase]) -> Referents:
    phrases = [phrase for phrase in map(placeless, _compared(query, things)) if phrase]
    if not phrases:
        return Referents(query, "")
    named, *others = phrases
    whole = placeless(named.whole) if named.whole else None
    anchors = [phrase for phrase in ((whole, *others) if whole else others) if phrase.noun not in PICTURES]
    return Referents(prompt(replace(named, whole=None)), prompt(anchors[0]) if anchors else "")


def _compared(query: str, things: Sequence[Phrase]) -> Sequence[Phrase]:
    """The things without the rest of the first one's kind: "taller than the other men" is the tallest man."""
    if " than " not in query:
        return things
    return [thing for i, thing in enumerate(things) if i == 0 or thing.noun != things[0].noun or not _another(thing)]


def _another(thing: Phrase) -> bool:
    return any("other" in word.split() for word in thing.attributes)


def prompt(phrase: Phrase) -> str:
    """One thing without its article, since a query need not say whether it is stuff; several as a group."""
    return phrase.name if phrase.number == 1 else phrase.indefinite


def placeless(phrase: Phrase) -> Phrase | None:
    """The phrase without words of place; None where it is nothing but a place, as in "on the left"."""
    if phrase.noun in PLACES:
        return None
    told = tuple(word for word in phrase.attributes if (PLACES | RANKS).isdisjoint(word.split()))
    return replace(phrase, attributes=told)
