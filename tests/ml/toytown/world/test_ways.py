"""People's own ways: each means one object that nobody could mistake, and all kinds occur."""

from collections import Counter

import numpy as np
import pytest

from ml.labeling.language.ways import WAYS as TAUGHT
from ml.toytown.world.draw import draw
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.scene import Node, random_for, scene
from ml.toytown.world.ways import AMID, RANKS, RELATIVES, SYNONYMS, ways

KINDS = {way.kind for way in (*RANKS, *RELATIVES, AMID)} | {"other", "two attributes", "synonym"}
OTHER = {word: noun for noun, words in SYNONYMS.items() for word in words}


@pytest.fixture(scope="module")
def said():
    drawn = [draw(scene(0, index, "ways")) for index in range(24)]
    return [(drawing, ways(drawing, random_for("test"))) for drawing in drawn]


def test_all_kinds_occur(said) -> None:
    assert {e.kind for _, found in said for e in found} == KINDS


def test_each_means_one_object_whose_noun_it_says(said) -> None:
    for drawing, found in said:
        nodes: tuple[Node, ...] = drawing.scene.nodes
        for expression in found:
            (target,) = expression.targets
            words = {OTHER.get(word, word) for word in expression.text.replace(",", "").split()}
            kind = nodes[target].kind
            assert nodes[target].level == "object" and ({kind, f"{kind}s", "people"} & words)


def test_ordinals_count_along_their_side(said) -> None:
    counted = 0
    for drawing, found in said:
        town = Meaning(drawing)
        for e in (e for e in found if e.kind == "ordinal" and e.text.startswith("counting from the left, the second")):
            among = town.of(e.text.rpartition("second ")[2])
            assert e.targets[0] == sorted(among, key=lambda i: town.centres[i, 0])[1] and len(among) > 2
            counted += 1
    assert counted > 1


def test_the_other_is_of_the_name_and_not_the_known_one(said) -> None:
    for drawing, found in said:
        town = Meaning(drawing)
        for e in (e for e in found if e.kind == "other"):
            known, name = (
                part.removeprefix("not the ").removeprefix("the other ")
                for part in sorted(e.text.split(", "), key=lambda part: "not" not in part)
            )
            assert set(town.of(name)) == {*town.of(known.removeprefix("the ")), *e.targets}


def test_no_way_is_one_that_the_labels_teach() -> None:
    taught = {words.strip() for way in TAUGHT.values() for words in way.said}
    ours = {words.removeprefix("the ") for way in (*RANKS, *RELATIVES, AMID) for words in way.said}
    assert not taught & ours


def test_the_same_draws_say_the_same(said) -> None:
    drawing, found = said[0]
    assert ways(drawing, random_for("test")) == found
    other = ways(drawing, np.random.default_rng(1))
    assert Counter(e.targets for e in other).keys() == Counter(e.targets for e in found).keys()
