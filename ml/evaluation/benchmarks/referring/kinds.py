"""What kind of expression a text is, as it is read: benchmarks as distributed do not say."""

import re

from ml.labeling.language.english import english
from ml.labeling.language.phrases import Told
from ml.labeling.language.places import AGAINST, Place, places
from ml.labeling.language.referents import SUPERLATIVE, placeless

RANK = re.compile(rf"\b{SUPERLATIVE}\b|\b(?:first|last)\b")
WORN = re.compile(r"^(?:(?:is |are |who is |that is )?(?:wearing|dressed in)|in|with|has|without)\b")
SCENE = re.compile(r"^(the )?(\w+ )?(sky|grass|ground|sand|water|sea|road|background)$")


def expression_kind(text: str) -> str:
    """One of relation, superlative, group, part, scene, attribute: the first that it is.

    A relation joins two things ("left of", "on", "holding"), but what someone wears or has ("in a red shirt", "with a
    hat") is an attribute. A superlative tells a place or rank among several, "on the left", "tallest".
    """
    words = " ".join(text.lower().split())
    found = places(words)
    ranks = [place for place in found if place.name not in AGAINST]
    whole, unranked = english().read([words, _without(words, ranks)])
    tests = {
        "relation": len(ranks) < len(found) or _joins(unranked),
        "superlative": bool(ranks) or RANK.search(words) is not None,
        "group": whole.first is not None and whole.first.number != 1,
        "part": whole.first is not None and whole.first.whole is not None,
        "scene": SCENE.search(words) is not None,
    }
    return next((kind for kind, holds in tests.items() if holds), "attribute")


def _without(text: str, ranks: list[Place]) -> str:
    """The text without its ranks: "person on left in a red shirt" is a person in a red shirt."""
    for place in reversed(ranks):
        text = text[: place.start] + text[place.end :]
    return text


def _joins(told: Told) -> bool:
    """Whether the thing named stands in a relation to another that is neither worn nor had, and more than a place."""
    anchors = [told.things[relation.anchor] for relation in told.relations]
    return any(
        relation.subject == 0 and not WORN.search(relation.words) and placeless(anchor) is not None
        for relation, anchor in zip(told.relations, anchors, strict=True)
    )
