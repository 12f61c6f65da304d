"""Sentences in captions' grammar: they mean what they mark, and say it in words that the town's own sentences lack."""

import re
from collections import Counter

import numpy as np
import pytest

from ml.toytown.world.draw import draw
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.retold import POSES, retell
from ml.toytown.world.scene import scene
from ml.toytown.world.sentences import Chunk
from ml.toytown.world.ways import SYNONYMS

KINDS = {"two-attributes", "clause", "participle", "synonym", "plural"}
POSED = re.compile("|".join(sorted({pose for poses in POSES.values() for pose in poses})))
OWN = {word: kind for kind, words in SYNONYMS.items() for word in words}
MANY = re.compile(r"^(?:a pair of|both|several|a bunch of|some) ")


@pytest.fixture(scope="module")
def told() -> list[tuple[Meaning, Chunk]]:
    drawn = [Meaning(draw(scene(0, index, "retold"))) for index in range(24)]
    rng = np.random.default_rng(0)
    return [(town, chunk) for town in drawn for _ in range(4) for chunk in retell(town, rng) if chunk.nodes]


def plainly(chunk: Chunk) -> str:
    """The phrase as the judge reads it."""
    text = re.sub(r"^(a|an) ", "", chunk.text)
    if clause := re.fullmatch(r"(\w+) (?:that|which) is (.+)", text):
        text = f"{clause[2]} {clause[1]}"
    words = POSED.sub("", text).replace(" and ", " ").split() if chunk.grammar == "participle" else text.split()
    return " ".join(OWN.get(word, word) for word in words if word != "and")


def test_each_phrase_alone_finds_its_regions(told: list[tuple[Meaning, Chunk]]) -> None:
    for town, chunk in told:
        if chunk.grammar == "plural":
            kind = town.drawing.scene.nodes[chunk.nodes[0]].kind
            assert town.of(kind) == chunk.nodes and len(chunk.nodes) > 1 and MANY.match(chunk.text)
        else:
            assert town.clear(plainly(chunk)) == chunk.nodes, chunk.text


def test_every_kind_of_grammar_is_heard(told: list[tuple[Meaning, Chunk]]) -> None:
    heard = Counter(chunk.grammar for _, chunk in told if chunk.grammar)
    assert heard.keys() == KINDS and min(heard.values()) > 5
