"""How real English says where a thing is: place -> templates to say it with, and regular expressions to read it by.

What looks like a place and is none, "a black top", "looking right", "the back of the chair", is read under no name.
"""

import re
from typing import NamedTuple

NOWHERE = ""  # the name of words that name no place
_FRAME = r"of (?:the |this |a )?(?:pic|picture|photo|image|screen|frame|shot|page|scene|row|line)\b"
_PICTURE = rf"(?: {_FRAME})?"
_AT = r"(?:(?:on|at|in|to|toward|towards|from|near|the|very|extreme|far|farther|farthest|further|furthest|to) )*"
_SIDE = {
    "left": r"left(?:est)?(?: ?hand)?(?: ?most)?",
    "right": r"right(?:est)?(?: ?hand)?(?: ?most)?",
    "top": r"(?:top|upper|uppermost|highest)(?: ?most)?",
    "bottom": r"(?:bottom|lower|lowest)(?: ?most)?",
}
_NTH = {"second": "second|2nd", "third": "third|3rd", "fourth": "fourth|4th", "fifth": "fifth|5th"}
SAID_NTH = ("second", "third")  # the others are read alone
_VIEWER = r"(?:the )?(?:us|me|you|viewer|camera|cam|lens|screen|photographer)\b"
_COLOURS = r"red|orange|yellow|green|blue|purple|pink|brown|black|white|gr[ae]y|tan|dark|light"
_JUST = r"(?:(?:just|right|directly|immediately) )?"


class Ways(NamedTuple):
    """Ways of one place. Of `said`, {thing} is what is asked for, {anchor} and {other} what its place is told against.

    {anchors} is a plural: "between the two {anchors}".
    """

    said: tuple[str, ...]
    read: tuple[str, ...]


def _across(side: str) -> Ways:
    """Leftmost and rightmost."""
    said = (
        "{side} {thing}", "{thing} on {side}", "{thing} on the {side}", "{thing} {side}", "far {side} {thing}",
        "{thing} far {side}", "{thing} on the far {side}", "{thing} on the {side} side", "{thing} on {side} side",
        "{thing} at {side}", "{thing} to the {side}", "{side} most {thing}", "{thing} farthest {side}",
        "{side} side {thing}", "{thing} at the {side} side",
    )  # fmt: skip
    first = rf"(?:first|1st)(?: \w+){{0,2}} (?:from|on) (?:the )?{side}"
    read = rf"{_AT}{_SIDE[side]}(?: (?:side|edge|corner|part|end|half|picture|pic|image))?{_PICTURE}"
    return Ways(_about(said, side=side), (read, first, rf"{side} (?:first|1st)"))


def _upright(side: str, other: str) -> Ways:
    """Topmost and bottommost; `other`: upper, lower."""
    said = ("{side} {thing}", "{thing} at the {side}", "{thing} at {side}", "{thing} at the very {side}",
            "{thing} on the {side}", "{other} {thing}", "{thing} on {side}")  # fmt: skip
    read = rf"{_AT}{_SIDE[side]}(?: (?:row|side|edge|part|half))?{_PICTURE}"
    return Ways(_about(said, side=side, other=other), (read,))


def _ordinal(nth: str, side: str) -> Ways:
    """The second from the left."""
    said = ("{nth} {thing} from the {side}", "{nth} {thing} from {side}", "{thing} {nth} from {side}",
            "{thing} {nth} from the {side}", "{nth} {thing} on the {side}", "{nth} {thing} on {side}",
            "{short} {thing} from {side}", "{nth} from {side} {thing}", "{nth} from the {side} {thing}")  # fmt: skip
    short = _NTH[nth].partition("|")[2]
    read = rf"(?:the )?(?:{_NTH[nth]})(?: \w+){{0,6}}? (?:from|on|in|at|to) (?:the )?(?:far )?{_SIDE[side]}(?: side)?"
    spoken = _about(said, nth=nth, short=short, side=side) if nth in SAID_NTH else ()
    return Ways(spoken, (read, rf"(?:{_NTH[nth]}) {side}"))


def _corner(rise: str, side: str) -> Ways:
    said = ("{rise} {side} {thing}", "{thing} {rise} {side}", "{thing} in the {rise} {side}",
            "{thing} at {rise} {side}",
            "{thing} on the {rise} {side}", "{thing} in the {rise} {side} corner", "{rise} {side} corner {thing}",
            "{other} {side} {thing}", "{thing} in {other} {side} corner", "{thing} {other} {side}",
            "{other} {side} corner {thing}")  # fmt: skip
    end = rf"(?: (?:side|corner|edge|part))?{_PICTURE}"
    both = rf"{_SIDE[rise]} ?(?:and )?(?:the )?{_SIDE[side]}", rf"{_SIDE[side]} (?:side )?{_SIDE[rise]}"
    other = {"top": "upper", "bottom": "lower"}[rise]
    return Ways(_about(said, rise=rise, side=side, other=other), tuple(f"{_AT}{words}{end}" for words in both))


def _about(said: tuple[str, ...], **words: str) -> tuple[str, ...]:
    """Templates with all but the things filled in."""
    return tuple(
        re.sub(r"\{(\w+)\}", lambda match: words.get(match[1], match[0]), template) for template in said
    )  # {thing} and {anchor} stay


def _beside(side: str) -> Ways:
    """Left of and right of another thing."""
    words = (f"{side} of", f"to the {side} of", f"on the {side} of", f"on the {side} side of")
    said = tuple(f"{{thing}} {of} the {{anchor}}" for of in words)
    return Ways(said, (rf"(?:(?:on|to|at) )?(?:the )?(?:far )?{side}(?: hand)?(?: side)? of",))


WAYS: dict[str, Ways] = {
    "leftmost": _across("left"),
    "rightmost": _across("right"),
    "topmost": _upright("top", "upper"),
    "bottommost": _upright("bottom", "lower"),
    **{f"{nth} from {side}": _ordinal(nth, side) for nth in _NTH for side in _SIDE},
    **{f"{rise} {side}": _corner(rise, side) for rise in ("top", "bottom") for side in ("left", "right")},
    "corner": Ways((), (r"(?:(?:in|at|on) )?(?:the )?corner" + _PICTURE,)),
    "end": Ways((), (r"(?:at|on) (?:the )?(?:very )?end",)),
    "middle": Ways(
        ("middle {thing}", "{thing} in the middle", "{thing} in middle", "center {thing}", "{thing} in the center",
         "{thing} in center", "{thing} middle", "{thing} in the centre", "{thing} center",
         "{thing} in the middle of the picture"),
        (
            rf"(?:(?:right|exactly|in|at|on|the|very|dead) )*(?:middle|cent(?:er|re))(?:most)?{_PICTURE}",
            r"(?:(?:the|most) )*(?:central|centermost|centremost)",
        ),
    ),
    "nearest": Ways(
        ("front {thing}", "{thing} in front", "{thing} in the front", "{thing} front", "closest {thing}",
         "{thing} closest to us", "{thing} closest to the camera", "{thing} closest to camera", "nearest {thing}",
         "{thing} in the foreground", "{thing} in foreground", "{thing} close to camera", "{thing} near front"),
        (
            rf"(?:(?:in|at|on|near|toward|towards|up|the|very) )*front(?: ?most)?(?: row)?{_PICTURE}",
            rf"(?:close|closer|closest|near|nearer|nearest)(?: to)? {_VIEWER}",
            r"(?:(?:in|the) )*foreground",
            r"(?:the )?(?:foremost|frontmost)",
            r"(?:the )?(?:closest|nearest|closer|nearer)(?: one)?",
        ),
    ),
    "farthest": Ways(
        ("back {thing}", "{thing} in back", "{thing} in the back", "{thing} in the background", "farthest {thing}",
         "{thing} in background", "background {thing}", "{thing} farthest away", "furthest {thing}", "rear {thing}",
         "{thing} at the back", "far {thing}", "{thing} farthest from us", "{thing} back", "{thing} furthest away"),
        (
            rf"(?:(?:all|in|at|on|to|toward|towards|way|far|the|very) )*(?:back|rear)(?: ?most)?(?: row)?{_PICTURE}",
            r"(?:(?:the|most) )*distant|(?:the )?hindmost",
            rf"(?:the )?(?:far|farther|farthest|further|furthest)(?: away| back| side)?(?: from {_VIEWER})?",
            r"(?:(?:in|the|far) )*background",
            r"in the (?:far )?distance",
            r"behind$",
        ),
    ),
    "left of": _beside("left"),
    "right of": _beside("right"),
    "above": Ways(("{thing} above the {anchor}",), (_JUST + r"above", r"higher than")),
    "below": Ways(
        ("{thing} below the {anchor}", "{thing} under the {anchor}", "{thing} underneath the {anchor}",
         "{thing} beneath the {anchor}"),
        (_JUST + r"(?:below|under|underneath|beneath)", r"lower than"),
    ),
    "inside": Ways(("{thing} inside the {anchor}",), (r"inside(?: of)?",)),
    "overlapping": Ways(("{thing} overlapping the {anchor}",), (r"overlapping",)),
    "larger than": Ways(("{thing} larger than the {anchor}",), (r"(?:larg|bigg)er than",)),
    "smaller than": Ways((), (r"smaller than",)),
    "on top of": Ways((), (r"on (?:the )?top of",)),
    "largest": Ways(("largest {thing}", "biggest {thing}", "bigger {thing}"), (r"(?:larg|bigg)(?:est|er)",)),
    "smallest": Ways(("smallest {thing}", "smaller {thing}"), (r"small(?:est|er)", r"littlest")),
    "next to": Ways(
        ("{thing} next to the {anchor}", "{thing} beside the {anchor}", "{thing} by the {anchor}",
         "{thing} near the {anchor}", "{thing} close to the {anchor}", "{thing} right next to the {anchor}",
         "{thing} near {anchor}", "{thing} next to {anchor}", "{thing} by {anchor}"),
        (_JUST + r"(?:next to|beside|besides|alongside|adjacent to)", r"near(?:by)?(?: to)?", r"close to",
         r"(?<!ed )(?<!\bon )(?<!en )(?<!rn )(?<!ld )(?<!id )(?<!side )(?<!made )by"),
    ),
    "between": Ways(
        ("{thing} between the {anchor} and the {other}", "{thing} in between the {anchor} and the {other}",
         "{thing} between {anchor} and {other}", "{thing} between the two {anchors}", "{thing} between two {anchors}"),
        (r"(?:in )?(?:between|inbetween)",),
    ),
    "closest to": Ways(
        ("{thing} closest to the {anchor}", "{thing} nearest the {anchor}", "{thing} nearest to the {anchor}",
         "{thing} closest to {anchor}"),
        (r"(?:the )?(?:closest|nearest|closer|nearer) to", r"(?:closest|nearest) the"),
    ),
    "behind": Ways(
        ("{thing} behind the {anchor}", "{thing} behind {anchor}", "{thing} right behind the {anchor}",
         "{thing} directly behind the {anchor}",
         "{thing} in back of the {anchor}"),
        (_JUST + r"behind", r"in (?:the )?back of"),
    ),
    "in front of": Ways(
        ("{thing} in front of the {anchor}", "{thing} in front of {anchor}"), (_JUST + r"in (?:the )?front of",)
    ),
    NOWHERE: Ways(
        (),
        (
            r"(?:facing|looking|running|turned|turning|going|leaning|moving|pointing|heading|walking|bent|off)"
            r" (?:(?:to|towards?|off|in|into|the|his|her) )*(?:left|right|down|back|front|distance)",
            r"(?:his|her|its|their|my|' s|'s) (?:left|right|front|back|top|bottom|upper|lower|own)",
            r"in (?:his |her |the |their )?(?:left|right) hand(?! side| picture| corner| pic)",
            rf"(?:{_COLOURS}|tank|crop|halter|striped|plaid|sleeveless|her|his|full \w+) tops?",
            r"(?:(?:in|a|the) )*top hats?",
            rf"(?:(?:at|near|the) )*(?<!on )(?<!on the )top (?!{_FRAME})of",
            r"(?:(?:on|at|near|the) )*(?<!in )(?<!in the )(?:front|back|rear|bottom|side|end|edge|corner)"
            rf" (?!{_FRAME})of",
            r"(?:the )?(?:top|bottom|upper|lower|front|rear|back) (?:end|portion|part|half|door|window|wheels?|tires?|"
            r"bar|legs?|paws?|teeth|pocket|pack|showing|to (?!the (?:right|left))|turned|side of)",
            r"(?:chair|couch|seat|with|on (?:the|his|her|its)) (?:back|front)(?! of pic)(?! right)(?! left)",
            r"with(?: \w+){1,3} on (?:the )?(?:front|back|top|bottom)",
            r"middle aged?",
            r"(?:all|alright) right|left over|right handed",
        ),
    ),
}  # fmt: skip
