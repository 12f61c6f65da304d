"""People's own words of place in the town's English: "second car from the left", "car by the house", "front car"."""

import re
from typing import NamedTuple

_OLD = re.compile(r"\b(?:left of|right of|above|below|inside|overlapping|larger than)\b|(?<!middle )\bof\b")
_US = r"(?!(?:the )?(?:us|camera|front)$)(?:the )?"
_RELATIONS = tuple(
    (re.compile(rf"^(.+?) {words}$"), place)
    for words, place in (
        (rf"(?:right )?(?:next to|beside|close to|near|by) {_US}(.+)", "next to"),
        (rf"(?:closest to|nearest to|nearest the|closest the) {_US}(.+)", "closest to"),
        (r"(?:(?:right|directly) )?(?:behind|in back of) (?:the )?(.+)", "behind"),
        (r"in front of (?:the )?(.+)", "in front of"),
        (r"on the left (?:side )?of (?:the )?(.+)", "left of"),
        (r"on the right (?:side )?of (?:the )?(.+)", "right of"),
        (r"(?:underneath|beneath|under) (?:the )?(.+)", "below"),
        (r"(?:in )?between (?:the )?two (.+)", "between"),
        (r"(?:in )?between (?:the )?(.+?) and (?:the )?(.+)", "between"),
    )
)
_NTH = re.compile(r"\b(second|2nd|third|3rd)\b(.*?) (?:from|on) (?:the )?(left|right|top|bottom)\b")
_CORNER = re.compile(r"\b(?:(?:in|at|on) )?(?:the )?(top|upper|bottom|lower) (left|right)(?: corner)?\b")
_PLACES = (
    (r"(?:closest to (?:the )?(?:us|camera)|close to camera|near front|in (?:the )?foreground)", "nearest"),
    (r"(?:in (?:the )?front|front|closest|nearest)", "nearest"),
    (r"(?:(?:in (?:the )?)?background|(?:farthest|furthest) (?:away|from us)|(?:in|at) (?:the )?back)", "farthest"),
    (r"(?:(?:(?:on|at|to) )?(?:the )?(?:far |farthest )?left(?: most)?(?: side)?)", "leftmost"),
    (r"(?:(?:(?:on|at|to) )?(?:the )?(?:far |farthest )?right(?: most)?(?: side)?)", "rightmost"),
    (r"(?:farthest|furthest|far|rear|back)", "farthest"),
    (r"(?:(?:at|on) )?(?:the )?(?:very )?(?:top|upper)", "topmost"),
    (r"(?:(?:at|on) )?(?:the )?(?:very )?(?:bottom|lower)", "bottommost"),
    (r"(?:in )?(?:the )?(?:middle|center|centre)(?: of the picture)?", "middle"),
    (r"(?:biggest|bigger)", "largest"),
    (r"smaller", "smallest"),
)
_WORDS = {"2nd": "second", "3rd": "third", "upper": "top", "lower": "bottom"}


class Placed(NamedTuple):
    """A phrase read: the thing it names, the place it tells of, and what that is told against."""

    thing: str
    place: str
    anchors: tuple[str, ...] = ()


def read(text: str) -> Placed | None:
    """A phrase without its article; None where it holds none of these words of place."""
    for pattern, place in _RELATIONS:
        if match := pattern.match(text):
            return Placed(match[1], place, match.groups()[1:])
    if _OLD.search(text):
        return None
    if match := _NTH.search(text):
        thing = f"{text[: match.start()]} {match[2]} {text[match.end() :]}"
        return Placed(_plain(thing), f"{_WORDS.get(match[1], match[1])} from {match[3]}")
    if match := _CORNER.search(text):
        return Placed(_without(text, match), f"{_WORDS.get(match[1], match[1])} {match[2]}")
    found = ((re.search(rf"\b{pattern}\b", text), place) for pattern, place in _PLACES)
    return next((Placed(_without(text, match), place) for match, place in found if match), None)


def _without(text: str, match: re.Match[str]) -> str:
    return _plain(text[: match.start()] + " " + text[match.end() :])


def _plain(text: str) -> str:
    return " ".join(text.split())
