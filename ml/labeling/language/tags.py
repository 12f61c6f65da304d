"""What a tag says of a word in a caption, and where it cannot be true.

A tagger that learned from newspapers reads "a woman in a red shirt walks" as several shirt walks. But "a" never goes
with a plural, what ends in -ing behind a noun is most often what that does, and behind an article there is a noun. Tags
are those of the Penn Treebank.
"""

from typing import TYPE_CHECKING

from ml.labeling.language.words import COLORS, MATERIALS, SHADES, SIZES, listed, number, singular

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

NOUNS = frozenset(("NN", "NNS", "NNP", "NNPS"))
PLURALS = frozenset(("NNS", "NNPS"))
MODIFIERS = frozenset(("JJ", "JJR", "JJS", "VBN", "VBG", "VBD", "CD", "AFX", "ADD", "RB", "RBR", "RBS"))
DETERMINERS = frozenset(("DT", "PRP$", "PDT", "WP$"))
SINGLE = frozenset(("a", "an", "another"))
# Adjectives by their tags, and people where no noun follows.
PEOPLE = listed("male female adult elder individual senior teen blond blonde brunette redhead")
# Things that end in -ing: behind another noun they are its head, "a brick building".
ING_THINGS = listed(
    "building ceiling string ring king painting clothing wing railing awning thing lightning icing swing spring "
    "earring evening morning drawing sling siding meeting setting gathering wedding parking crossing landing lighting "
    "offering pudding dressing bedding stocking opening covering carving engraving marking writing nothing something "
    "anything everything sibling duckling sterling"
)
# Words of place and rank: before a noun they tell which one; behind it, they are not its head, "car left of the house".
PLACES = listed(
    "left right top bottom leftmost rightmost topmost bottommost largest smallest middle center centre front back far"
)


def colour(token: "Token") -> bool:
    """Whether it names a colour, alone or in "olive-green"."""
    return not COLORS.isdisjoint(token.lower_.split("-"))


def attributive(word: str) -> bool:
    """Whether a noun before another tells its colour, size, place or material, and is no part of its name."""
    return any(word in told for told in (SHADES, MATERIALS, SIZES, PLACES)) or not COLORS.isdisjoint(word.split("-"))


def person(token: "Token") -> bool:
    """Whether an adjective by its tag is a person: "a young female climbing a tree"."""
    return token.lower_ in PEOPLE and token.tag_.startswith("JJ")


def opens(doc: "Doc", i: int) -> bool:
    """Whether it is a plural that opens the text: no caption opens with a verb, "leaves/VBZ on a tree"."""
    return i == 0 and doc[0].tag_ in ("VBZ", "VBP") and singular(doc[0].lower_) != doc[0].lower_


def stands_for_a_noun(doc: "Doc", i: int) -> bool:
    """A word of another tag right behind an article: "a tattoo/RB on her arm", "a surfboard/JJ ."."""
    token, before = doc[i], doc[i - 1] if i else None
    if before is None or before.tag_ not in DETERMINERS or before.lower_ in ("that", "this", "all", "both"):
        return False
    if token.tag_ not in ("JJ", "JJS", "RB", "VB", "VBP") or number(token.lower_) is not None:
        return False
    following = [doc[k].tag_ for k in range(i + 1, min(i + 3, len(doc)))]
    if following[:1] == ["VBG"]:  # "a surfboard/JJ riding a wave", and not "an oriental looking girl"
        return len(following) > 1 and following[1] in DETERMINERS | {"IN"}
    return not following or following[0] not in MODIFIERS  # not "a similarly attired group"


def acts(doc: "Doc", first: int, i: int) -> bool:
    """Whether what is tagged as a noun behind the one before it, from `first` on, is what that does, or where it is."""
    token = doc[i]
    if verb_form(token) or _beside(doc, i):
        return True
    if _several(doc[i - 1]):  # "runners race", and not "women soccer players"
        return i + 1 == len(doc) or doc[i + 1].tag_ not in NOUNS
    return token.tag_ in PLURALS and _one(doc, first)


def verb_form(token: "Token") -> bool:
    """Whether it ends in -ing and is no thing."""
    return token.lower_.endswith("ing") and token.lower_ not in ING_THINGS


def _several(token: "Token") -> bool:
    """Whether it is a plural, which can hardly tell of another noun behind it."""
    return token.lower_ != "sports" and (token.tag_ == "NNS" or singular(token.lower_) != token.lower_)


def _beside(doc: "Doc", i: int) -> bool:
    """Whether "left" or "top" behind a noun tells where it is: "the car right of the house", not "a tank top"."""
    place = doc[i].lower_
    followed = i + 1 < len(doc) and doc[i + 1].lower_ == "of"
    return place in ("left", "right") or (place in PLACES and followed)


def _one(doc: "Doc", first: int) -> bool:
    """Whether the article before the phrase says that it is one thing: then no plural is its head."""
    for i in range(first - 1, -1, -1):
        token = doc[i]
        if token.lower_ in SINGLE:
            return True
        if token.tag_ not in MODIFIERS | {"CC", ","} or number(token.lower_) is not None or token.lower_ == "few":
            return False
    return False
