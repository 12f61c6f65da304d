"""What the text tower is pretrained on: phrases that fit a region, at every degree of detail, and whole queries."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.toytown.world.draw import Drawing
from ml.toytown.world.expressions import expressions, spoken
from ml.toytown.world.language import NUMBERS, article, join, plural
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.retold import retell
from ml.toytown.world.scene import Node, Scene
from ml.toytown.world.sentences import plain, questions, scene_caption
from ml.toytown.world.ways import SYNONYMS, ways

Concept = tuple[str, str, str, str, int]  # level, noun, colour, noun of the whole, count; "" and 0 say nothing
STOPWORDS = frozenset({"a", "an", "of", "the"})

TEXTS = 24  # expressions a drawing
RETOLD = 3  # sentences a drawing in captions' grammar
ANOTHER_WORD = 0.12  # of the phrases of things that have one
_SIZES = ("small", "large")


def words_of(text: str) -> list[str]:
    """The words of a caption that say something."""
    return [word for word in text.split() if word not in STOPWORDS]


def concept(scene: Scene, node: Node) -> Concept:
    """All that a region's caption says."""
    whole = scene.nodes[node.parent].kind if node.level == "part" else ""
    count = node.count if node.level == "group" else 0
    return node.level, node.kind, node.colour or "", whole, count


def asked(drawing: Drawing, rng: np.random.Generator) -> list[str]:
    """What people may say and ask of a drawing: expressions, questions and answers, and a few sentences."""
    town, said, anew = Meaning(drawing), expressions(drawing), ways(drawing, rng)
    posed = questions(town, said, rng)
    texts = [spoken(said[i], rng) for i in rng.integers(len(said), size=TEXTS)]
    texts += [posed[i].question for i in rng.integers(len(posed), size=TEXTS // 4)]
    texts += [posed[i].answer for i in rng.integers(len(posed), size=TEXTS // 8)]
    texts += [anew[i].text for i in rng.permutation(len(anew))[: TEXTS // 4]]
    texts += [plain(retell(town, rng)) for _ in range(RETOLD)]
    return [*texts, scene_caption(drawing, rng), scene_caption(drawing, rng)]


def fits(phrases: Sequence[Concept], regions: Sequence[Concept]) -> NDArray[np.bool_]:
    """`[P, R]`: whether each phrase is true of each region; what a phrase leaves open fits anything."""
    result = np.ones((len(phrases), len(regions)), bool)
    for field in range(5):
        said = np.array([phrase[field] for phrase in phrases])[:, None]
        shown = np.array([region[field] for region in regions])[None]
        silent = said == (0 if field == 4 else "")
        result &= silent | (said == shown)
    return result


def phrase(region: Concept, rng: np.random.Generator) -> tuple[str, Concept]:
    """A phrase that fits a region, in full or in part, with what it says: "a red car", "car", "the automobile"."""
    level, noun, colour, whole, count = region
    colour = colour if rng.random() < 0.65 else ""
    if level == "part":
        return _part(noun, colour, whole if colour or rng.random() < 0.5 else "", rng)
    if level == "group":
        return _group(noun, colour, count if rng.random() < 0.7 else 0, rng)
    said = (level, noun, colour, "", 0)
    if noun in SYNONYMS and rng.random() < ANOTHER_WORD:
        noun = str(rng.choice(SYNONYMS[noun]))
    sized = join(str(rng.choice(_SIZES)), colour, noun) if rng.random() < 0.08 else join(colour, noun)
    if level == "scene":
        return str(rng.choice([join(colour, noun), f"the {join(colour, noun)}"])), said
    return _determined(sized, rng), said


def _part(noun: str, colour: str, whole: str, rng: np.random.Generator) -> tuple[str, Concept]:
    head = _determined(noun, rng)
    said = ("part", noun, colour, whole, 0)
    if not whole:
        return head, said
    owner = join(colour, whole)
    return f"{head} of {rng.choice([article(owner), f'the {owner}'])}", said


def _group(noun: str, colour: str, count: int, rng: np.random.Generator) -> tuple[str, Concept]:
    members = join(NUMBERS[count] if count else None, colour, plural(noun))
    return str(rng.choice(["a group of ", "the group of ", "", "the "])) + members, ("group", noun, colour, "", count)


def _determined(words: str, rng: np.random.Generator) -> str:
    return str(rng.choice([article(words), f"the {words}", words]))
