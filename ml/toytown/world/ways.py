"""People's own ways to say which thing is meant, in a grammar that the labels never speak.

What is meant is told in the plain form that the judge reads ("second car from the left"); how it is said is another
matter ("counting from the left, the second car").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ml.toytown.world.draw import Drawing
from ml.toytown.world.expressions import Expression, phrases
from ml.toytown.world.language import plural
from ml.toytown.world.meaning import AXES, Meaning
from ml.toytown.world.scene import Node

SIDES = ("left", "right", "top", "bottom")
ANCHORS = 3  # things tried as anchors, an image
SYNONYMS = {
    "house": ("building", "cottage"),
    "car": ("automobile",),
    "truck": ("lorry",),
    "boat": ("sailboat", "ship"),
    "person": ("figure", "pedestrian"),
    "dog": ("puppy",),
    "ball": ("sphere",),
    "flower": ("bloom",),
}


@dataclass(frozen=True)
class Way:
    """`plain`: what the judge reads; `said`: how it is put. Both name {thing}, and what it is told against.

    That is {anchor}, {other}; {things} is the plural. `least`: how many things of a name there are where people say it:
    the second of two is the last.
    """

    kind: str
    plain: str
    said: tuple[str, ...]
    least: int = 2


def _ordinals() -> Iterator[Way]:
    for least, nth, number in ((3, "second", "two"), (4, "third", "three")):
        for side in SIDES:
            said = (
                f"counting from the {side}, the {nth} {{thing}}",
                f"the {{thing}} that comes {nth} from the {side}",
                f"number {number} of the {{things}}, from the {side}",
            )
            yield Way("ordinal", f"{nth} {{thing}} from the {side}", said, least)


def _corners() -> Iterator[Way]:
    for rise, other in (("top", "upper"), ("bottom", "lower")):
        for side in ("left", "right"):
            said = (
                f"the {{thing}} tucked into the {other} {side} corner",
                f"{other} {side} hand corner, the {{thing}}",
                f"of the {{things}} the one in the {rise} {side} corner",
            )
            yield Way("corner", f"{rise} {side} {{thing}}", said)


def _sides() -> Iterator[Way]:
    """Relations to the left, right, above and below, as clauses and as participles."""
    for relation in AXES:
        where = f"{relation} the {{anchor}}"
        clauses = (f"the {{thing}} that is {where}", f"the {{thing}} which you see {where}")
        yield Way("clause", f"{{thing}} {where}", clauses)
        yield Way("participle", f"{{thing}} {where}", (f"the {{thing}} standing {where}", f"a {{thing}} seen {where}"))


RANKS = (
    *_ordinals(),
    *_corners(),
    Way("middle", "middle {thing}", ("the most central {thing}", "the {thing} right in the center of the scene"), 3),
    Way("depth", "front {thing}", ("the frontmost {thing}", "the {thing} nearest to whoever took the picture")),
    Way("depth", "farthest {thing}", ("the {thing} all the way in the back", "the most distant {thing}")),
    Way("clause", "leftmost {thing}", ("the {thing} that is farther left than the other {things}",)),
    Way("clause", "rightmost {thing}", ("the {thing} that is farther right than the other {things}",)),
)
RELATIVES = (
    *_sides(),
    Way("beside", "{thing} next to the {anchor}", ("the {thing} standing beside the {anchor}",)),
    Way("beside", "{thing} next to the {anchor}", ("the {thing} that has the {anchor} next to it",)),
    Way("behind", "{thing} behind the {anchor}", ("the {thing} half hidden behind the {anchor}",)),
    Way("behind", "{thing} in front of the {anchor}", ("the {thing} that stands in front of the {anchor}",)),
)
AMID = Way(
    "between",
    "{thing} between the {anchor} and the {other}",
    (
        "the {thing} with the {anchor} on one side and the {other} on the other",
        "between the {anchor} and the {other}, the {thing}",
    ),
)
OTHERS = ("not the {known}, the other {name}", "the other {name}, not the {known}")


def ways(drawing: Drawing, rng: np.random.Generator) -> list[Expression]:
    """What can be said of a drawing's objects in these ways and nobody could misread, each of one object."""
    town = Meaning(drawing)
    objects = [node for node in town.nodes if node.level == "object"]
    several = list(dict.fromkeys(p for node in objects for p in phrases(node)[:2] if len(town.of(p)) > 1))
    named = [(node, names[0]) for node in objects if (names := _names(town, node))]
    anchors = [named[i] for i in rng.permutation(len(named))[:ANCHORS]]
    said = [*_ranked(town, several), *_related(objects, anchors), *_between(objects, anchors)]
    found = [Expression(text, kind, town.clear(plain)) for kind, plain, text in _put(said, rng)]
    found += [*_others(town, several, rng), *_attributes(town, objects, rng)]
    return sorted({e for e in found if len(e.targets) == 1}, key=lambda e: (e.kind, e.text))


def _names(town: Meaning, node: Node) -> list[str]:
    """Phrases that mean this object and no other, barest first."""
    return [phrase for phrase in phrases(node) if town.clear(phrase) == (node.id,)]


Filled = tuple[Way, dict[str, str]]


def _ranked(town: Meaning, several: list[str]) -> Iterator[Filled]:
    return ((way, _words(thing)) for thing in several for way in RANKS if len(town.of(thing)) >= way.least)


def _related(objects: list[Node], anchors: list[tuple[Node, str]]) -> Iterator[Filled]:
    for node in objects:
        for anchor, name in anchors:
            if anchor.id != node.id:
                yield from ((way, {**_words(node.kind), "anchor": name}) for way in RELATIVES)


def _between(objects: list[Node], anchors: list[tuple[Node, str]]) -> Iterator[Filled]:
    for node in objects:
        for (a, anchor), (b, other) in permutations(anchors, 2):
            if node.id not in (a.id, b.id):
                yield AMID, {**_words(node.kind), "anchor": anchor, "other": other}


def _words(thing: str) -> dict[str, str]:
    *attributes, noun = thing.split()
    return {"thing": thing, "things": " ".join([*attributes, plural(noun)])}


def _put(said: list[Filled], rng: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    """Kind, plain form and one of the ways to put it."""
    for way, words in said:
        template = way.said[int(rng.integers(len(way.said)))]
        yield way.kind, way.plain.format(**words), template.format(**words)


def _others(town: Meaning, several: list[str], rng: np.random.Generator) -> Iterator[Expression]:
    """Of two things of a name, that which is not the one that has a name of its own."""
    for name in several:
        two = town.clear(name)
        for one, other in permutations(two, 2) if len(two) == 2 else ():
            if known := _names(town, town.drawing.scene.nodes[one]):
                text = OTHERS[int(rng.integers(len(OTHERS)))].format(known=known[0], name=name)
                yield Expression(text, "other", (other,))


def _attributes(town: Meaning, objects: list[Node], rng: np.random.Generator) -> Iterator[Expression]:
    """Attributes in a clause, two of them, and things by another word than the town's own."""
    for node in objects:
        kind, colour, both = node.kind, f"{node.colour} {node.kind}", f"{node.size} {node.colour} {node.kind}"
        one, two = (town.clear(phrase) for phrase in (colour, both))
        yield Expression(f"the {kind} that is {node.colour}", "clause", one)
        yield Expression(f"the {kind} that is both {node.size} and {node.colour}", "two attributes", two)
        yield Expression(f"the {node.size} and {node.colour} {kind}", "two attributes", two)
        if words := SYNONYMS.get(kind):
            yield Expression(f"the {node.colour} {words[int(rng.integers(len(words)))]}", "synonym", one)
