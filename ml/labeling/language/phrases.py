"""Noun phrases as things: head noun, attributes, number, and the whole they are a part of.

"a red car", "a wheel of a blue car", "a group of three red balls", "green grass", "a John Deere tractor", "a close up
of a man in a striped shirt".
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ml.labeling.language.chunks import Chunk, chunks
from ml.labeling.language.tags import attributive
from ml.labeling.language.words import (
    SEVERAL,
    SHADES,
    SIZES,
    article,
    attribute_kind,
    listed,
    number,
    number_word,
    plural,
    singular,
)

if TYPE_CHECKING:
    from spacy.tokens import Doc

COLLECTIVES = listed(
    "group pair bunch set row pile stack couple crowd herd flock collection cluster lot number line dozen "
    "hundred variety assortment team gathering"
)
FRAMES = listed("close-up closeup picture photo photograph image view shot")
JOINTS = frozenset(("and", "or", ",", "&"))
_LIST = re.compile(r"(?:and|or|,|&| )*")
_CLAUSE = re.compile(r"[.;:!?]|\b(?:while|as|but|because|when)\b")
_TELLS = re.compile(r"^(?:(?:is |are |who is )?(?:wearing|dressed in|carrying|holding)|in|with)\b")


@dataclass(frozen=True)
class Phrase:
    """A noun phrase. `noun` is singular; `number` 1 is one, `SEVERAL` an uncounted plural; `mass`: "grass", "sky".

    A compound is one noun, "john deere tractor"; attributes that "and" or a comma joins are one, "red and white".
    """

    noun: str
    attributes: tuple[str, ...] = ()
    number: int = 1
    mass: bool = False
    whole: "Phrase | None" = None

    @property
    def head(self) -> str:
        """The last word of the noun, before "of": "tractor", "glass" of "glass of water"."""
        return self.noun.partition(" of ")[0].split()[-1]

    @property
    def name(self) -> str:
        """Without determiner and whole: "red car", "three red balls", "green grass"."""
        head = self.noun if self.number == 1 else plural(self.noun)
        count = [number_word(self.number)] if self.number > 1 else []
        return " ".join([*count, *self.attributes, head])

    @property
    def definite(self) -> str:
        """With "the": "the red car", "the wheel of the red car"."""
        return f"the {self.name}" + (f" of {self.whole.definite}" if self.whole else "")

    @property
    def indefinite(self) -> str:
        """With "a" where it fits: "a red car", "a group of three red balls", "green grass", "a wheel of a red car"."""
        text = self.name if self.mass else f"a group of {self.name}" if self.number != 1 else article(self.name)
        return text + (f" of {self.whole.indefinite}" if self.whole else "")

    @property
    def color(self) -> str:
        """The first attribute that tells a colour, "" if there is none."""
        return next((word for word in self.attributes if attribute_kind(word) == "colour"), "")

    @property
    def kinds(self) -> dict[str, str]:
        """What each attribute tells: colour, size, material, number or other."""
        return {word: attribute_kind(word) for word in self.attributes}

    @property
    def countable(self) -> bool:
        """Whether it names one thing of its own: no part, no group, no stuff."""
        return self.number == 1 and not self.mass and self.whole is None

    def bare(self) -> "Phrase":
        """The noun alone, its number kept."""
        return replace(self, attributes=(), whole=None)


class Relation(NamedTuple):
    """How one thing stands to another, in the words between: things by their places in `Told.things`."""

    subject: int
    words: str
    anchor: int


class Told(NamedTuple):
    """What a text tells: "a dog and two balls on green grass" has three things, and the balls are on the grass."""

    things: tuple[Phrase, ...] = ()
    relations: tuple[Relation, ...] = ()

    @property
    def first(self) -> Phrase | None:
        """What is told of first."""
        return next(iter(self.things), None)


def told(doc: "Doc") -> Told:
    """What a tagged text tells, in order."""
    found = [(phrase, chain) for chain in _chains(doc) if (phrase := _thing(chain)) is not None]
    gaps = [
        " ".join(token.lower_ for token in doc[before[-1].end : behind[0].start])
        for (_, before), (_, behind) in pairwise(found)
    ]
    return Told(tuple(phrase for phrase, _ in found), tuple(_relations(gaps)))


def _relations(gaps: Sequence[str]) -> Iterator[Relation]:
    """`gaps[i]` stands between things i and i + 1; what is worn or held ("in a hat") is no subject of what follows."""
    subject = 0
    for i, words in enumerate(gaps):
        if _LIST.fullmatch(words) or _CLAUSE.search(words):
            subject = i + 1
            continue
        yield Relation(subject, words, i + 1)
        if not _TELLS.search(words):
            subject = i + 1


def _chains(doc: "Doc") -> Iterator[list[Chunk]]:
    """Noun phrases that "of" links."""
    found = chunks(doc)
    chain = found[:1]
    for before, chunk in pairwise(found):
        if [token.lower_ for token in doc[before.end : chunk.start]] != ["of"]:
            yield chain
            chain = []
        chain.append(chunk)
    if chain:
        yield chain


def _thing(chain: Sequence[Chunk]) -> Phrase | None:
    """Of "a group of three red balls" the members, of "a picture of a dog" the dog, of "a wheel of a car" a part.

    "A glass of water", without a determiner behind "of", is one compound.
    """
    first, *rest = chain
    if not rest:
        return _phrase(first)
    if singular(first.noun) in FRAMES:
        return _thing(rest)
    behind = _thing(rest)
    if behind is None:
        return _phrase(first)
    if singular(first.noun) in COLLECTIVES:
        return behind if behind.number != 1 else replace(behind, number=SEVERAL, mass=False)
    phrase = _phrase(first)
    if rest[0].determiner:
        return replace(phrase, whole=replace(behind, whole=None))
    return replace(phrase, noun=f"{phrase.noun} of {behind.name}")


def _phrase(chunk: Chunk) -> Phrase:
    counted = next((n for word in chunk.modifiers if (n := number(word)) is not None), None)
    told = [noun for noun in chunk.nouns[:-1] if attributive(noun)]
    compound = [noun for noun in chunk.nouns[:-1] if not attributive(noun)]
    attributes = _attributes([word for word in (*chunk.modifiers, *told) if number(word) is None])
    many = chunk.plural and not chunk.single
    several = counted if counted is not None else SEVERAL if many else 1
    head = chunk.noun if several == 1 else singular(chunk.noun)
    mass = several == 1 and counted is None and not chunk.single
    return Phrase(" ".join([*compound, head]), attributes, several, mass)


def _attributes(words: Sequence[str]) -> tuple[str, ...]:
    """Modifiers in order; "red and white", "light blue" and "brightly colored" are one each. A crop shows no sizes."""
    found: list[list[str]] = []
    joined = False
    for word in words:
        joint = word in JOINTS
        if found and (joint or joined):
            found[-1].append(word)
        elif not joint and word not in SIZES:
            found.append([word])
        joined = joint or word in SHADES or word.endswith("ly")
    told = (_trimmed(attribute) for attribute in found)
    return tuple(" ".join(attribute).replace(" ,", ",") for attribute in told if attribute)


def _trimmed(words: list[str]) -> list[str]:
    """Without a joint at its end."""
    while words and words[-1] in JOINTS:
        words = words[:-1]
    return words
