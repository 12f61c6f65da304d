"""Queries in people's own words of place, of scenes whose geometry is plain to see."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ml.labeling.language.phrases import Phrase
from ml.labeling.language.places import places
from ml.labeling.queries.placed import RANK, SAID_ANEW, Placed
from ml.labeling.queries.query import Query

Make = Callable[..., Any]
EVERYTHING = 10_000

ROW = [(f"a {color} car", (5 + 25 * i, 40, 12, 10)) for i, color in enumerate(("red", "blue", "green", "pink"))]
HOUSE, TREE = ("a house", (75, 8, 14, 14)), ("a tree", (5, 8, 10, 14))


def placed(made: Any, seed: int = 0) -> Placed:
    return Placed(made.asker, np.random.default_rng(seed))


def asked(made: Any, count: int = EVERYTHING, seed: int = 0) -> list[Query]:
    return placed(made, seed).queries(count)


def targets(made: Any, relation: str, name: str) -> set[tuple[int, str]]:
    """(target, anchor's name) of the queries that place a name so; of between, both ends' names."""
    found = [query for seed in range(6) for query in asked(made, seed=seed)]
    return {
        (query.target, " and ".join(end.noun for end in (query.expression.anchor, query.expression.other) if end))
        for query in found
        if (query.expression.relation, query.expression.subject.text) == (relation, name)
    }


def test_ordinals_of_a_row(make: Make) -> None:
    made = make(*ROW)
    assert targets(made, "second from left", "car") == {(1, "")}
    assert targets(made, "third from left", "car") == targets(made, "second from right", "car") == {(2, "")}
    assert targets(made, "leftmost", "car") == {(0, "")}
    assert not targets(made, "second from top", "car")


def test_one_who_is_not_described_makes_no_order(make: Make) -> None:
    """What looks like a car and was described as no one thing may be a car or half of one."""
    odd = ("a red car", (30, 60, 12, 10), "part")
    assert not targets(make(*ROW[:3], odd), "second from left", "car")


def test_what_may_be_unseen_is_not_ranked(make: Make) -> None:
    made = make(*ROW, unseen=[Phrase("car")])
    assert not targets(made, "second from left", "car")


def test_corners_the_middle_near_and_far(make: Make) -> None:
    cars = make(("a car", (5, 5, 6, 6)), ("a car", (44, 44, 12, 12)), ("a car", (75, 75, 20, 20)))
    for relation, target in (("top left", 0), ("bottom right", 2), ("middle", 1), ("nearest", 2), ("farthest", 0)):
        assert targets(cars, relation, "car") == {(target, "")}
    assert not targets(cars, "top right", "car")


def test_neighbours(make: Make) -> None:
    """A car right beside the house; the other far off, or near enough that a person might mean it."""
    beside, far, near = (
        ("a red car", (60, 10, 12, 10)),
        ("a blue car", (5, 70, 12, 10)),
        ("a blue car", (75, 30, 12, 10)),
    )
    assert targets(make(beside, far, HOUSE), "next to", "car") == {(0, "house")}
    assert not targets(make(beside, near, HOUSE), "next to", "car")
    assert targets(make(beside, near, HOUSE), "next to", "red car") == {(0, "house")}


def test_behind_is_not_upon(make: Make) -> None:
    house = ("a house", (40, 30, 30, 30))
    behind = make(("a tree", (66, 25, 15, 28)), house)
    assert targets(behind, "behind", "tree") == {(0, "house")}
    assert targets(behind, "in front of", "house") == {(1, "tree")}
    assert not targets(make(("a bird", (50, 22, 8, 10)), house), "behind", "bird")


def test_closest(make: Make) -> None:
    found = targets(make(*ROW, ("a house", (80, 55, 14, 14))), "closest to", "car")
    assert found == {(3, "house"), (1, "car"), (2, "car")}  # of the row's cars: to the red one, to the pink one
    level = [("a red car", (60, 60, 12, 10)), ("a blue car", (90, 60, 10, 10))]
    assert not targets(make(*level, HOUSE), "closest to", "car")


def test_between_two_things_and_two_of_a_name(make: Make) -> None:
    row = [("a red car", (5, 40, 10, 10)), ("a dog", (45, 42, 8, 8)), ("a house", (85, 38, 12, 12))]
    assert targets(make(*row), "between", "dog") == {(1, "car and house")}
    pair = [row[0], row[1], ("a red car", (85, 40, 10, 10))]
    assert targets(make(*pair), "between", "dog") == {(1, "car")}
    third = ("a red car", (45, 80, 10, 10))
    assert not targets(make(*pair, third), "between", "dog")
    other = ("a dog", (60, 45, 8, 8))  # roughly between as well
    assert not targets(make(*row, other), "between", "dog")


def test_old_places_in_new_words(make: Make) -> None:
    made = make(*ROW, TREE)
    below = [query for query in asked(made) if query.expression.relation == "below"]
    assert below and all(query in made.asker.all() for query in below)
    assert "above" not in {query.expression.relation for query in asked(made)}


@pytest.mark.parametrize("seed", range(20))
def test_what_is_said_names_the_place_and_nothing_else(make: Make, seed: int) -> None:
    dog = ("a dog", (45, 8, 8, 8))
    for made in (make(*ROW, HOUSE, TREE, dog), make(ROW[0], ROW[3], ("a dog", (43, 42, 8, 8)))):
        found = placed(made, seed)
        for query in found.queries(EVERYTHING):
            text, expression = found.text(query), query.expression
            assert [place.name for place in places(text)] == [expression.relation], text
            assert expression.subject.noun in text
            for end in (expression.anchor, expression.other):
                assert end is None or end.text in text
            assert "{" not in text


def test_a_plural_anchor(make: Make) -> None:
    made = make(ROW[0], ROW[3], ("a dog", (43, 42, 8, 8)))
    found = placed(made)
    (query, *_) = [
        q for q in found.queries(EVERYTHING) if (q.expression.relation, q.expression.other) == ("between", None)
    ]
    assert query.anchor in (0, 1)
    assert {found.text(query).removeprefix("the ") for _ in range(40)} >= {
        "dog between the two cars",
        "dog between two cars",
    }


def test_places_take_turns_in_random_order(make: Make) -> None:
    made = make(*ROW, HOUSE, TREE)
    relations = Counter(query.expression.relation for query in asked(made))
    assert len(relations) > 8
    first = {query.expression.relation for seed in range(60) for query in asked(made, 2, seed)}
    assert len(first) > 8
    for seed in range(10):
        some = asked(made, 10, seed)
        assert len({query.expression.relation for query in some}) == len(some)
        assert [query.expression.relation in SAID_ANEW for query in some] == [False, True] * 5
    assert asked(made, 5, 3) == asked(made, 5, 3) != asked(made, 5, 4)
    assert asked(made, 0) == []


def test_kinds_and_anchors(make: Make) -> None:
    for query in asked(make(*ROW, HOUSE, TREE)):
        alone = "superlative" if query.expression.relation in SAID_ANEW else RANK
        assert query.kind == ("relation" if query.expression.anchor else alone)
        assert (query.anchor >= 0) == (query.kind == "relation") and query.anchor != query.target


def test_an_image_without_anything(make: Make) -> None:
    assert asked(make(("", (5, 5, 10, 10)))) == []
