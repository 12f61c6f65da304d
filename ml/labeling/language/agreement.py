"""Phrases of one image made to agree with the tree of its masks: geometry counts and nests better than captions."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ml.labeling.language.phrases import SEVERAL, Phrase

COVERED = 0.85  # of a group's area lies in its described members when none of them is missing

Phrases = Sequence[Phrase | None]


def part_names(phrases: Phrases, levels: Sequence[str], parents: NDArray[np.int64]) -> Counter[tuple[str, str]]:
    """(noun of a part, noun of its whole) where the part's caption and its parent's say the same of the whole."""
    pairs = ((phrase, _whole(i, phrases, levels, parents)) for i, phrase in enumerate(phrases))
    return Counter(
        (part.noun, whole.noun)
        for part, whole in pairs
        if part and part.whole and whole and part.whole.noun == whole.noun
    )


def agree(
    phrases: Phrases,
    levels: Sequence[str],
    parents: NDArray[np.int64],
    areas: NDArray[np.int64],
    known: Collection[tuple[str, str]],
) -> list[Phrase | None]:
    """The phrases, with each part's whole named as its parent's phrase does, and each group's members counted.

    Args:
        levels, parents, areas: of the N masks; parents are indices, -1 for none.
        known: (noun of a part, noun of its whole) that exist; a part of another whole loses its phrase.
    """
    nested = [_nested(i, phrases, levels, parents, known) for i in range(len(phrases))]
    return [_counted(i, nested, levels, parents, areas) for i in range(len(nested))]


def unseen(phrases: Phrases, levels: Sequence[str], parents: NDArray[np.int64]) -> set[Phrase]:
    """Wholes whose parts are told of while they themselves have no mask: a query might mean them."""
    return {
        phrase.whole
        for i, phrase in enumerate(phrases)
        if phrase and phrase.whole and _whole(i, phrases, levels, parents) is None
    }


def _nested(
    i: int,
    phrases: Phrases,
    levels: Sequence[str],
    parents: NDArray[np.int64],
    known: Collection[tuple[str, str]],
) -> Phrase | None:
    phrase, whole = phrases[i], _whole(i, phrases, levels, parents)
    if phrase is None or phrase.whole is None or whole is None:
        return phrase
    return replace(phrase, whole=whole) if (phrase.noun, whole.noun) in known else None


def _whole(i: int, phrases: Phrases, levels: Sequence[str], parents: NDArray[np.int64]) -> Phrase | None:
    """The phrase of the nearest object that holds mask i."""
    above = parents[i]
    for _ in phrases:
        if above < 0:
            return None
        phrase = phrases[above]
        if levels[above] == "object" and phrase and phrase.countable:
            return phrase
        above = parents[above]
    return None


def _counted(
    i: int, phrases: Phrases, levels: Sequence[str], parents: NDArray[np.int64], areas: NDArray[np.int64]
) -> Phrase | None:
    """A group's phrase as its members tell it, uncounted where some of them have no mask."""
    phrase = phrases[i]
    if phrase is None or phrase.number == 1 or levels[i] != "group":
        return phrase
    inside = [j for j in np.flatnonzero(parents == i).tolist() if levels[j] == "object"]
    members = [member for j in inside if (member := phrases[j]) and member.countable]
    alike = len({member.noun for member in members}) == 1
    if alike and 1 < len(members) == len(inside) and areas[inside].sum() >= COVERED * areas[i]:
        shared = tuple(word for word in members[0].attributes if all(word in m.attributes for m in members))
        return Phrase(members[0].noun, shared, len(members))
    return replace(phrase, number=SEVERAL)
