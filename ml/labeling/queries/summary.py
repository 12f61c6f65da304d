"""The caption of the whole image: the captioner's where the masks bear it out, else the masks' own phrases."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ml.labeling.geometry.relations import PART_OF, Geometry
from ml.labeling.language.phrases import Phrase
from ml.labeling.queries.query import Region
from ml.labeling.relevance import RELEVANT, Floats, Vocabulary

NAMED = 3  # things in a caption made of phrases


def image_caption(
    said: str,
    things: Sequence[Phrase],
    regions: Sequence[Region],
    geometry: Geometry,
    crops: Floats,
    words: Vocabulary,
) -> str:
    """`said`, if each of the `things` it tells of is relevant to some mask's crop (`crops`: f32 [N, e]).

    A captioner that sees the whole image at its own small size guesses at what is small in it.
    """
    prompts = [phrase.indefinite for phrase in things]
    confirmed = words.similarity(prompts, crops).max(axis=1, initial=0.0) >= RELEVANT
    if prompts and confirmed.all():
        return said
    return composed(regions, geometry) or said


def composed(regions: Sequence[Region], geometry: Geometry) -> str:
    """The largest things, and the ground they stand on: "a pink tree, two birds and a boat on green grass"."""
    things = sorted((region for region in regions if _told(region, regions, geometry)), key=_by(-geometry.areas))
    stuff = sorted((region for region in regions if region.level == "scene"), key=_by(-geometry.centers[:, 1]))
    named = _counted([thing.phrase for thing in things])[:NAMED]
    ground = [region.phrase.indefinite for region in stuff[:1]]
    return " on ".join(part for part in (_listed(named), *ground) if part)


def _counted(phrases: Sequence[Phrase]) -> list[str]:
    """Names in order, equal things told together: "two purple trucks"."""
    return [
        replace(phrase, number=count).name if count > 1 else phrase.indefinite.removeprefix("a group of ")
        for phrase, count in Counter(phrases).items()
    ]


def _told(region: Region, regions: Sequence[Region], geometry: Geometry) -> bool:
    """Whether it is a group, or a thing outside of every group and no copy of one before it."""
    groups = [other.index for other in regions if other.level == "group"]
    earlier = [other.index for other in regions if other.index < region.index]
    inside = geometry.relations[PART_OF][region.index, groups].any()
    again = geometry.duplicates[region.index, earlier].any()
    return not inside and not again and (region.countable or region.kind == "group")


def _by(rank: NDArray[np.float64]) -> Callable[[Region], tuple[float, int]]:
    return lambda region: (float(rank[region.index]), region.index)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([part for part in (", ".join(names[:-1]), *names[-1:]) if part])
