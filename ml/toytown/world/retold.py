"""Sentences about a scene in the grammar of real captions, which neither captioner nor labels were ever told.

Participles, relative clauses, two attributes, plurals without a number, and other words for the town's own things.
"""

from collections.abc import Iterator

import numpy as np

from ml.toytown.world.language import article, plural
from ml.toytown.world.meaning import AXES, Meaning
from ml.toytown.world.scene import Node
from ml.toytown.world.sentences import Chunk, Sentence, apart, listing, sentence, stuff, support
from ml.toytown.world.ways import SYNONYMS

POSES = {
    "house": ("tiled", "lived-in"),
    "car": ("parked", "passing"),
    "truck": ("parked", "loaded"),
    "boat": ("sailing", "floating"),
    "tree": ("growing", "towering"),
    "person": ("standing", "waiting"),
    "dog": ("standing", "listening"),
    "bird": ("chirping", "resting"),
    "ball": ("bouncing", "forgotten"),
    "flower": ("blooming", "growing"),
}
JOINTS = ("placed {}", "seen {}", ", which is {}", "that can be seen {}")
SUPPORTS = ("resting on", "spread over", "that are all on")  # the first of one thing, too


def retell(town: Meaning, rng: np.random.Generator) -> Sentence:
    """A sentence of two to four phrases, each of which alone is enough to find its regions."""
    order = apart(town, list(_mentions(town, rng)), rng)
    if not order:
        return sentence(town, rng)
    first, *others = order
    related = [(word, other) for other in others for word in AXES if _stands(town, word, first, other)]
    if related:
        word, other = related[rng.integers(len(related))]
        joint = JOINTS[rng.integers(len(JOINTS))].format(word)
        return (first, Chunk(joint), other, Chunk("beneath"), _named(town, town.drawing.scene.stuff("sky")))
    base = support(town, first)
    listed = [mention for mention in order if support(town, mention) == base][:3]
    said = SUPPORTS if len(listed) > 1 or len(listed[0].nodes) > 1 else SUPPORTS[:1]
    over = said[rng.integers(len(said))] if base != town.drawing.scene.stuff("sky") else "up in"
    return (*listing(listed), Chunk(over), _named(town, base))


def _mentions(town: Meaning, rng: np.random.Generator) -> Iterator[Chunk]:
    """One of the ways to name each object that has one, and all of each kind."""
    objects = [node for node in town.nodes if node.level == "object"]
    for node in objects:
        if names := list(_names(town, node)):
            yield names[rng.integers(len(names))]
    for kind in sorted({node.kind for node in objects}):
        ids = town.of(kind)
        if len(ids) > 1 and not any(town.drawing.scene.nodes[i].parent >= 0 for i in ids):
            several = ("a pair of", "both") if len(ids) == 2 else ("several", "a bunch of", "some")
            yield Chunk(f"{several[rng.integers(len(several))]} {plural(kind)}", ids, "plural")


def _names(town: Meaning, node: Node) -> Iterator[Chunk]:
    """What nobody could take for another thing, in each kind of grammar."""
    kind, colour, size = node.kind, node.colour, node.size
    if town.clear(f"{size} {colour} {kind}") == (node.id,):
        yield Chunk(f"a {size} and {colour} {kind}", (node.id,), "two-attributes")
        yield Chunk(f"a {kind} that is {size} and {colour}", (node.id,), "clause")
    if town.clear(f"{colour} {kind}") == (node.id,):
        yield Chunk(f"a {kind} which is {colour}", (node.id,), "clause")
        yield from (Chunk(f"a {pose} {colour} {kind}", (node.id,), "participle") for pose in POSES[kind])
        yield from (Chunk(article(f"{colour} {word}"), (node.id,), "synonym") for word in SYNONYMS.get(kind, ()))


def _stands(town: Meaning, word: str, a: Chunk, b: Chunk) -> bool:
    return len(a.nodes) == len(b.nodes) == 1 and town.holds(word, a.nodes[0], b.nodes[0])


def _named(town: Meaning, node: int) -> Chunk:
    return Chunk(stuff(town, node), (node,))
