"""The words of place in a text, read by the patterns of `WAYS` alone: "second man from the left" is no side."""

import re
from functools import cache
from typing import NamedTuple

from ml.labeling.language.ways import NOWHERE, WAYS
from ml.labeling.language.words import listed

# Places that are told against another thing; all others are a rank among the things of a name.
AGAINST = frozenset(
    [name for name, ways in WAYS.items() if any("{anchor" in said for said in ways.said)]
    + ["smaller than", "on top of"]
)
_TOLD = {word for name, ways in WAYS.items() if name not in AGAINST for said in ways.said for word in said.split()}
# The words that ranks are told with, between which the thing may stand: "second red car from the left".
RANK_WORDS = frozenset(_TOLD - {"{thing}"}) | listed(
    "leftmost rightmost hand 1st 2nd 3rd 4th 5th first fourth fifth edge corner part end row half picture pic image "
    "upper lower uppermost highest lowest very one closer nearer rear farther further away distance viewer lens screen "
    "most central centermost centremost frontmost foremost hindmost distant all way exactly counting counted comes "
    "scene"
)


class Place(NamedTuple):
    """Words of place in a text: the place's name, and the span of its characters."""

    name: str
    start: int
    end: int


def places(text: str) -> list[Place]:
    """The words of place in a text, in its order: the longest first where they overlap, of equals the earliest."""
    lowered = text.lower().replace("-", " ")
    found = [Place(name, *match.span()) for name, pattern in _patterns() for match in pattern.finditer(lowered)]
    free, kept = [True] * len(lowered), []
    for place in sorted(found, key=lambda place: (place.start - place.end, place.start)):
        if all(free[place.start : place.end]):
            free[place.start : place.end] = [False] * (place.end - place.start)
            kept.append(place)
    return sorted((place for place in kept if place.name != NOWHERE), key=lambda place: place.start)


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(name, re.compile(rf"\b(?:{read})\b")) for name, ways in WAYS.items() for read in ways.read]
