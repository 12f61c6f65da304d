"""Noun phrases of a tagged text: determiner, modifiers, nouns.

They are found by the tags of words alone. Dependencies are not asked: captions leave out articles and verbs, as
telegrams do, and where a tagger that learned from newspapers is wrong about a word, the tree that rests on it is wrong
as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml.labeling.language.tags import (
    DETERMINERS,
    MODIFIERS,
    NOUNS,
    PLACES,
    PLURALS,
    SINGLE,
    acts,
    attributive,
    colour,
    opens,
    person,
    stands_for_a_noun,
    verb_form,
)
from ml.labeling.language.words import COLORS, listed, number

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

# Nouns by their tags that name no thing by themselves: "one of them", "the second from the left".
NO_THINGS = listed(
    "one ones other others same each half someone something everyone everything anything none first second third "
    "fourth fifth last"
)
RELATIVES = frozenset(("that", "which", "who"))
COPULAS = frozenset(("is", "are", "was", "were", "'s", "looks", "look", "seems"))
BETWEEN_ADJECTIVES = frozenset(("and", "both", "very", "all", "mostly"))
SIDES = frozenset(("front", "top", "back", "middle", "midst"))  # "in front of", "on top of"


@dataclass(frozen=True)
class Chunk:
    """A noun phrase without what follows "of", in lower case.

    `start`, `end`: its tokens. `modifiers` stand before the nouns, in order, commas and "and" among them; those of a
    clause behind follow, "the car that is red".
    """

    start: int
    end: int
    determiner: str
    modifiers: tuple[str, ...]
    nouns: tuple[str, ...]
    plural: bool

    @property
    def single(self) -> bool:
        """Whether an article says that it is one thing."""
        return self.determiner in SINGLE

    @property
    def noun(self) -> str:
        """The head, as it stands in the text."""
        return self.nouns[-1]


def chunks(doc: "Doc") -> list[Chunk]:
    """The noun phrases of a text, in order; pronouns, bare colours and numbers are none."""
    return [chunk for chunk in _found(doc) if not _names_nothing(chunk, doc)]


def _found(doc: "Doc") -> Iterator[Chunk]:
    i = 0
    while i < len(doc):
        if not _noun(doc, i):
            i += 1
            continue
        first, last = i, _last_noun(doc, i)
        chunk = _chunk(doc, first, last)
        yield chunk
        i = chunk.end
        while i < len(doc) and doc[i].tag_ in NOUNS and acts(doc, first, i):
            i += 1  # what was read as a verb is no noun phrase of its own


def _noun(doc: "Doc", i: int) -> bool:
    """Whether a noun phrase has its first noun here."""
    token, following = doc[i], doc[i + 1] if i + 1 < len(doc) else None
    goes_on = following is not None and _goes_on(doc, i + 1)
    if token.tag_ in NOUNS:
        placed = token.lower_ in PLACES and (following is None or following.tag_ not in NOUNS)
        return placed or not (attributive(token.lower_) and goes_on)
    if goes_on or not (token.is_alpha or "-" in token.text):
        return False
    return person(token) or opens(doc, i) or stands_for_a_noun(doc, i)


def _goes_on(doc: "Doc", i: int) -> bool:
    """Whether the phrase goes on at token i, so that the word before it was not its noun."""
    token, following = doc[i], doc[i + 1] if i + 1 < len(doc) else None
    if token.tag_ in NOUNS:  # "a red fishing pole", and not "a male surfing"
        return not verb_form(token) or (following is not None and following.tag_ in NOUNS)
    if token.tag_ in ("CC", ",", "HYPH"):
        return following is not None and (colour(following) or following.tag_ == "CC" or token.tag_ == "HYPH")
    if token.tag_ in ("VBN", "VBD") and colour(doc[i - 1]):  # "a red/NN striped ball"
        return following is not None and following.tag_ in NOUNS
    return (token.tag_ in MODIFIERS and token.tag_ not in ("RB", "VBG", "VBN", "VBD")) or colour(token)


def _last_noun(doc: "Doc", first: int) -> int:
    """Of "a man 's hat" the man is a phrase of its own, and so is the hat."""
    last = first
    while last + 1 < len(doc) and doc[last + 1].tag_ in NOUNS and not acts(doc, first, last + 1):
        if doc[last + 1].lower_ == "half":  # "a tree half hidden"
            break
        last += 1
    return last


def _chunk(doc: "Doc", first: int, last: int) -> Chunk:
    start = _start(doc, first)
    determined = start > 0 and doc[start - 1].tag_ in DETERMINERS
    told, end = _clause(doc, last + 1)
    return Chunk(
        start=start - determined,
        end=end,
        determiner=doc[start - 1].lower_ if determined else "",
        modifiers=(*(doc[i].lower_ for i in range(start, first)), *told),
        nouns=tuple(doc[i].lower_ for i in range(first, last + 1)),
        plural=doc[last].tag_ in PLURALS | {"VBZ"},
    )


def _clause(doc: "Doc", begin: int) -> tuple[list[str], int]:
    """Adjectives of a relative clause that begins at a token, and where it ends: "that is red", "which looks old".

    None, and where it begins, where a noun follows them, or no adjective is told.
    """
    words = [doc[i].lower_ for i in range(begin, min(begin + 2, len(doc)))]
    if len(words) < 2 or words[0] not in RELATIVES or words[1] not in COPULAS:
        return [], begin
    told: list[str] = []
    end = begin + 2
    while end < len(doc) and (_adjective(doc[end]) or doc[end].lower_ in BETWEEN_ADJECTIVES):
        told.append(doc[end].lower_)
        end += 1
    adjectives = [word for word in told if word not in BETWEEN_ADJECTIVES]
    alone = end == len(doc) or doc[end].tag_ not in NOUNS | {"TO"}  # not "that is about to turn"
    if not adjectives or not alone:
        return [], begin
    return (told if COLORS.issuperset(adjectives) else adjectives), end


def _adjective(token: "Token") -> bool:
    return token.tag_ == "JJ" or colour(token)


def _start(doc: "Doc", first: int) -> int:
    """Where the modifiers before the first noun begin: "a neon green and orange uniform", "red, white and blue"."""
    start = first
    while start > 0 and _modifies(doc, start - 1, first):
        start -= 1
    while start < first and (doc[start].tag_ in ("CC", ",") or _adverb(doc[start])):
        start += 1
    return start


def _modifies(doc: "Doc", i: int, first: int) -> bool:
    """Whether token i belongs before the noun: "a passing car", and not "boys playing soccer"."""
    token, before = doc[i], doc[i - 1] if i else None
    if token.tag_ in ("CC", ","):
        return i > 0 and _joins(doc, i, first)
    done = token.tag_ in ("VBG", "VBD") and before is not None and before.tag_ in NOUNS | {"VBZ", "VBP", "VBD", "PRP"}
    return (token.tag_ in MODIFIERS and not done) or attributive(token.lower_)


def _joins(doc: "Doc", i: int, first: int) -> bool:
    """Whether a comma or "and" at i stands between two adjectives of one noun, and not between two phrases."""
    before, behind = doc[i - 1], doc[i + 1]
    if before.tag_ == ",":
        before = doc[i - 2] if i > 1 else before
    alike = colour(before) and (colour(behind) or behind.tag_ == "CC")
    told = before.tag_ == "JJ" and i + 1 < first and behind.tag_ in MODIFIERS
    return alike or (told and (doc[i].tag_ == "," or not colour(before)))


def _adverb(token: "Token") -> bool:
    """Whether it belongs to what stands before the phrase: "outside" does, "brightly" does not."""
    return token.tag_ == "RB" and not token.lower_.endswith("ly")


def _names_nothing(chunk: Chunk, doc: "Doc") -> bool:
    noun = chunk.noun
    if noun in NO_THINGS or len(noun) < 2 or not any(letter.isalpha() for letter in noun) or (number(noun) or 0) > 0:
        return True
    if noun in COLORS and not chunk.single:
        return True
    bare = not chunk.determiner and not chunk.modifiers and len(chunk.nouns) == 1
    return bare and noun in SIDES and chunk.start > 0 and doc[chunk.start - 1].tag_ == "IN"
