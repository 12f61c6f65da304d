"""Expressions that mean regions of a scene: every unambiguous one the town's English has, each with its kind."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml.toytown.world.draw import Drawing
from ml.toytown.world.language import NUMBERS, UNCOUNTABLE, join, plural
from ml.toytown.world.meaning import AXES, RELATIONS, SUPERLATIVES, Meaning
from ml.toytown.world.scene import Node

LOCATION = (
    *AXES,
    "leftmost",
    "rightmost",
    "topmost",
    "bottommost",
    " on the left",
    " on the right",
    "overlapping",
    "inside",
)


@dataclass(frozen=True)
class Expression:
    """`kind`: attribute, relation, superlative, part, group or scene; `targets`: ids of the nodes it means."""

    text: str
    kind: str
    targets: tuple[int, ...]

    @property
    def located(self) -> bool:
        """Whether it uses words of place, which RefCOCO+ forbids."""
        return any(word in self.text for word in LOCATION)


def expressions(drawing: Drawing) -> list[Expression]:
    """All that can be said of a drawing without ambiguity, sorted by kind and text.

    Attribute, relation, superlative, group and scene expressions mean one node; of the parts all those named.
    """
    town = Meaning(drawing)
    names = {node.id: _names(town, node) for node in _objects(town)}
    said = {
        Expression(text, kind, town.clear(text))
        for kind, text in (
            *_attributes(names),
            *_relations(town, names),
            *_superlatives(town),
            *_parts(town, names),
            *_groups(town),
            *_stuff(town),
        )
    }
    kept = [e for e in said if len(e.targets) == 1 or (e.kind == "part" and e.targets)]
    return sorted(kept, key=lambda e: (e.kind, e.text))


def phrases(node: Node) -> list[str]:
    """From the barest to the fullest phrase for an object: "car", "red car", "small car", "small red car"."""
    return [join(size, colour, node.kind) for size in (None, node.size) for colour in (None, node.colour)]


def spoken(expression: Expression, rng: np.random.Generator) -> str:
    """The expression as one speaker puts it: "the red car" or "red car", "to the left of" or "left of"."""
    text = expression.text
    for side in ("left of", "right of"):
        if rng.random() < 0.5:
            text = text.replace(f" {side} ", f" to the {side} ")
    bare = expression.kind in ("attribute", "superlative") and not text.startswith("the ")
    return f"the {text}" if bare and rng.random() < 0.5 else text


def _objects(town: Meaning) -> list[Node]:
    return [node for node in town.nodes if node.level == "object"]


def _names(town: Meaning, node: Node) -> list[str]:
    """Phrases that mean this object and no other, barest first."""
    return [phrase for phrase in phrases(node) if town.of(phrase) == (node.id,)]


def _attributes(names: dict[int, list[str]]) -> Iterator[tuple[str, str]]:
    for known in names.values():
        yield from (("attribute", phrase) for phrase in known)


def _relations(town: Meaning, names: dict[int, list[str]]) -> Iterator[tuple[str, str]]:
    anchors = [(b, known[0]) for b, known in names.items() if known]
    for a in _objects(town):
        for b, anchor in anchors:
            for relation in RELATIONS:
                if a.id != b and town.holds(relation, a.id, b):
                    yield from (("relation", f"the {p} {relation} the {anchor}") for p in phrases(a))


def _superlatives(town: Meaning) -> Iterator[tuple[str, str]]:
    for phrase in dict.fromkeys(phrase for node in _objects(town) for phrase in phrases(node)[:2]):
        if len(town.of(phrase)) > 1:
            yield from (("superlative", f"{word} {phrase}") for word in SUPERLATIVES)
            yield from (("superlative", f"{phrase} on the {side}") for side in ("left", "right"))


def _parts(town: Meaning, names: dict[int, list[str]]) -> Iterator[tuple[str, str]]:
    for node in town.nodes:
        if node.level == "part":
            yield from (("part", f"the {node.kind} of the {name}") for name in names.get(node.parent, []))


def _groups(town: Meaning) -> Iterator[tuple[str, str]]:
    for node in town.nodes:
        if node.level == "group":
            for colour in {None, node.colour}:
                words = join(NUMBERS[node.count], colour, plural(node.kind))
                yield "group", words
                yield "group", f"a group of {words}"


def _stuff(town: Meaning) -> Iterator[tuple[str, str]]:
    for node in town.nodes:
        if node.level == "scene":
            yield "scene", f"the {node.kind}"
            yield "scene", f"the {node.colour} {node.kind}"
            if node.kind in UNCOUNTABLE:
                yield "scene", f"{node.colour} {node.kind}"
