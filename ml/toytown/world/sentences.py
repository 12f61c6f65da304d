"""Sentences about a scene whose phrases are grounded, and questions with answers and evidence."""

from dataclasses import dataclass

import numpy as np

from ml.toytown.world.draw import Drawing
from ml.toytown.world.expressions import Expression
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.language import NUMBERS, UNCOUNTABLE, article, caption, join, plural
from ml.toytown.world.meaning import AXES, Meaning
from ml.toytown.world.scene import COLOURS, HELD_OUT, Node


@dataclass(frozen=True)
class Chunk:
    """A stretch of a sentence; `nodes`: the ids it refers to, one box each, empty for words between phrases.

    `grammar`: what kind it shows, "" for the town's own.
    """

    text: str
    nodes: tuple[int, ...] = ()
    grammar: str = ""


Sentence = tuple[Chunk, ...]


@dataclass(frozen=True)
class Question:
    """`evidence`: ids of the nodes that show the answer; empty where nothing in the picture does."""

    question: str
    answer: str
    evidence: tuple[int, ...]


def plain(sentence: Sentence) -> str:
    """The sentence as text: "a red car left of a blue house under a blue sky"."""
    return " ".join(chunk.text for chunk in sentence)


def scene_caption(drawing: Drawing, rng: np.random.Generator) -> str:
    """One caption of the whole picture."""
    return plain(sentence(Meaning(drawing), rng))


def sentence(town: Meaning, rng: np.random.Generator) -> Sentence:
    """A sentence of two to four phrases, each of which alone is enough to find its regions."""
    order = apart(town, _mentions(town, rng), rng)
    sky = Chunk(stuff(town, town.drawing.scene.stuff("sky")), (town.drawing.scene.stuff("sky"),))
    first = order[0]
    related = [(word, other) for other in order[1:] for word in AXES if _related(town, word, first, other)]
    if related and rng.random() < 0.6:
        word, other = related[rng.integers(len(related))]
        rest = [m for m in order[1:] if m != other][:1] if rng.random() < 0.5 else []
        tail = [part for m in rest for part in (Chunk("and"), m)]
        return (first, Chunk(word), other, *tail, Chunk("under"), sky)
    base = support(town, first)
    listed = [m for m in order if support(town, m) == base][:3]
    where = (Chunk("in" if base == sky.nodes[0] else "on"), Chunk(stuff(town, base), (base,)))
    over = (Chunk("under"), sky) if base != sky.nodes[0] and rng.random() < 0.5 else ()
    return (*listing(listed), *where, *over)


def questions(town: Meaning, said: list[Expression], rng: np.random.Generator) -> list[Question]:
    """All color and count questions, one "what is left of" for each clear case, and as many yes as no."""
    objects = [node for node in town.nodes if node.level == "object"]
    counts = {kind: town.of(kind) for kind in sorted({node.kind for node in objects})}
    asked = [_color(town, e) for e in said if e.kind in ("attribute", "relation", "superlative")]
    found = [question for question in asked if question]
    found += [Question(f"how many {plural(kind)} are there?", NUMBERS[len(ids)], ids) for kind, ids in counts.items()]
    return found + _neighbours(town, objects) + _presence(town, objects, rng)


def _mentions(town: Meaning, rng: np.random.Generator) -> list[Chunk]:
    """Phrases for objects, for all of a kind, and for groups, that mean what they name and nothing else."""
    mentions = []
    for node in town.nodes:
        if node.level == "object":
            phrase = join(node.size if rng.random() < 0.25 else None, node.colour, node.kind)
            if town.of(phrase) == (node.id,):
                mentions.append(Chunk(article(phrase), (node.id,)))
        elif node.level == "group" and town.of(caption(town.drawing.scene, node)) == (node.id,):
            mentions.append(Chunk(caption(town.drawing.scene, node), (node.id,)))
    for kind in sorted({node.kind for node in town.nodes if node.level == "object"}):
        ids = town.of(kind)
        grouped = any(town.drawing.scene.nodes[i].parent >= 0 for i in ids)
        if len(ids) > 1 and not grouped:
            mentions.append(Chunk(f"{NUMBERS[len(ids)]} {plural(kind)}", ids))
    return mentions or [Chunk(article(kind), town.of(kind)) for kind in sorted(KINDS) if town.of(kind)]


def apart(town: Meaning, mentions: list[Chunk], rng: np.random.Generator) -> list[Chunk]:
    """The mentions in random order, without those that speak of an object again."""
    spoken: set[int] = set()
    kept = []
    for i in rng.permutation(len(mentions)):
        nodes = set(mentions[i].nodes)
        objects = nodes | {child.id for node in nodes for child in town.drawing.scene.children(node)}
        if not objects & spoken:
            kept.append(mentions[i])
            spoken |= objects
    return kept


def listing(mentions: list[Chunk]) -> Sentence:
    """Mentions with commas and "and" between them."""
    joints = ["", *[","] * max(0, len(mentions) - 2), "and"]
    return tuple(
        chunk
        for joint, mention in zip(joints, mentions, strict=False)
        for chunk in ((Chunk(joint), mention) if joint else (mention,))
    )


def _related(town: Meaning, word: str, a: Chunk, b: Chunk) -> bool:
    """Whether one region stands so to another that is no part or holder of it."""
    if len(a.nodes) > 1 or len(b.nodes) > 1:
        return False
    (i,), (j,) = a.nodes, b.nodes
    nodes = town.drawing.scene.nodes
    return nodes[i].parent != j and nodes[j].parent != i and town.holds(word, i, j)


def support(town: Meaning, mention: Chunk) -> int:
    """The background that a mention stands on: the owner of the pixels below its box, or the sky for what flies."""
    scene = town.drawing.scene
    node = scene.nodes[mention.nodes[0]]
    thing = next(scene.things[i] for i, n in enumerate(scene.thing_nodes) if node.id in (n, scene.nodes[n].parent))
    if thing.kind == "boat":
        return scene.stuff("water")
    if thing.kind == "bird" and thing.variant == 1:
        return scene.stuff("sky")
    road = scene.land.road
    return scene.stuff("road" if road and road[0] < thing.y <= road[1] else scene.land.ground)


def stuff(town: Meaning, node: int) -> str:
    """Stuff by its name: "a blue sky", "green grass", "a gray road"."""
    ground = town.drawing.scene.nodes[node]
    words = join(ground.colour, ground.kind)
    return words if ground.kind in UNCOUNTABLE and ground.kind != "sky" else article(words)


def _color(town: Meaning, expression: Expression) -> Question | None:
    node = town.drawing.scene.nodes[expression.targets[0]]
    if node.level != "object" or node.colour is None or node.colour in expression.text:
        return None
    text = expression.text.removeprefix("the ")
    return Question(f"what color is the {text}?", node.colour, expression.targets)


def _neighbours(town: Meaning, objects: list[Node]) -> list[Question]:
    found = []
    for anchor in objects:
        for phrase in (anchor.kind, join(anchor.colour, anchor.kind)):
            for word in AXES:
                near = [n for n in objects if n.id != anchor.id and town.holds(word, n.id, anchor.id, loose=True)]
                clear = len(near) == 1 and town.holds(word, near[0].id, anchor.id)
                if clear and town.of(phrase) == (anchor.id,):
                    answer = caption(town.drawing.scene, near[0])
                    found.append(Question(f"what is {word} the {phrase}?", answer, (near[0].id,)))
    return found


def _presence(town: Meaning, objects: list[Node], rng: np.random.Generator) -> list[Question]:
    """Two questions with yes, two with no."""
    present = sorted({(node.colour or "", node.kind) for node in objects})
    known = {*present, *HELD_OUT}
    absent = [(colour, kind) for colour in COLOURS for kind in KINDS if (colour, kind) not in known]
    found = []
    for pairs, answer in ((present, "yes"), (absent, "no")):
        for i in rng.permutation(len(pairs))[:2]:
            phrase = join(*pairs[i])
            found.append(Question(f"is there {article(phrase)}?", answer, town.of(phrase)))
    return found
