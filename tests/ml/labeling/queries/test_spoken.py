"""What the labels know of their queries is what a reader finds in the texts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ml.labeling.language.english import english
from ml.labeling.language.referents import UNREAD, referents
from ml.labeling.queries.placed import Placed
from ml.labeling.queries.spoken import spoken_of
from ml.labeling.relevance import Expression, Subject

ROW = [(f"a {color} car", (5 + 25 * i, 40, 12, 10)) for i, color in enumerate(("red", "blue", "green", "pink"))]
HOUSE, TREE, DOG = ("a house", (75, 8, 14, 14)), ("a tree", (5, 8, 10, 14)), ("a dog", (43, 42, 8, 8))


def test_people_s_words_of_place_are_read_as_known(make: Callable[..., Any]) -> None:
    relations = set()
    for made in (make(*ROW, HOUSE, TREE), make(ROW[0], ROW[3], DOG)):
        placed = Placed(made.asker, np.random.default_rng(0))
        found = placed.queries(10_000)
        for query, read in zip(found, referents([placed.text(query) for query in found], english()), strict=True):
            assert spoken_of(query.expression) == read
            relations.add((query.expression.relation, query.expression.other is None))
    assert ("between", True) in relations and ("between", False) in relations and len(relations) > 10


def test_a_name_that_is_nothing_but_a_place_is_left_to_the_reader() -> None:
    side = Subject("left side", "a left side", "side", ("left",))
    assert spoken_of(Expression(side)) == UNREAD
    several = Subject("two dogs", "a group of two dogs", "dog")
    assert spoken_of(Expression(several)) == ("a group of two dogs", "")
    assert spoken_of(Expression(several, "between", several)) == UNREAD
