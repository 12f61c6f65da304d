"""What an image does not hold, in scenes whose geometry is plain to see."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest

from ml.labeling.language.english import english
from ml.labeling.language.phrases import Phrase
from ml.labeling.queries.absent import CONTRARY, KIND, NOWHERE, OPPOSITE, Absent
from ml.labeling.queries.query import Query, phrase_text
from ml.labeling.relevance import Scores, Sizes

Make = Callable[..., Any]
RED, HOUSE = ("a red car", (5, 10, 15, 10)), ("a house", (75, 8, 13, 13))  # of nearly the same size
TREE, GRASS = ("a tree", (40, 60, 10, 30)), ("green grass", (0, 50, 100, 50), "scene")
SHARD = ("a green car", "a red car", "a car", "a boat", "a blue boat", "a house", "a blue house", "a dog")
SEEDS = range(12)


def absent_from(made: Any, mentioned: Collection[Phrase] = (), seed: int = 0) -> Absent:
    return Absent(made.asker, mentioned, made.crops, made.words, np.random.default_rng(seed))


def scores_of(made: Any, absent: Absent) -> Scores:
    geometry = made.asker.scores.geometry
    return Scores([*made.asker.names, *absent.subjects], made.crops, geometry, made.words, Sizes({}))


def asked(made: Any, mentioned: Collection[Phrase] = (), count: int = 100, seed: int = 0) -> list[Query]:
    absent = absent_from(made, mentioned, seed)
    return absent.queries(scores_of(made, absent), count)


def misplaced(made: Any, seed: int = 0) -> set[tuple[str, str, str]]:
    """Of the things that are there: (subject, relation, anchor)."""
    here = {name.text for name in made.asker.names}
    found = [query.expression for query in asked(made, seed=seed)]
    pairs = [(e.subject.text, e.relation, e.anchor.text) for e in found if e.anchor is not None]
    return {pair for pair in pairs if pair[0] in here and pair[2] in here}


def names(made: Any, mentioned: Collection[Phrase] = (), seed: int = 0) -> set[str]:
    return {subject.text for subject in absent_from(made, mentioned, seed).subjects}


@pytest.mark.parametrize("seed", SEEDS)
def test_near_misses_come_first(make: Make, seed: int) -> None:
    """Another colour of a kind that is there, then something else, in turn."""
    made = make(RED, HOUSE, absent=SHARD)
    texts = [subject.text for subject in absent_from(made, seed=seed).subjects]
    assert {texts[0], texts[2]} == {"green car", "blue house"}
    assert {texts[1], *texts[3:]} == {"boat", "blue boat", "dog"}
    first, *_ = asked(made, seed=seed)
    assert phrase_text(first, np.random.default_rng(0)).removeprefix("the ") in ("green car", "blue house")


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_that_is_there_is_absent(make: Make, seed: int) -> None:
    made = make(RED, HOUSE, absent=SHARD)
    assert names(made, seed=seed) == {"green car", "blue house", "boat", "blue boat", "dog"}
    absent = absent_from(made, seed=seed)
    scores = scores_of(made, absent)
    queries = absent.queries(scores, 100)
    assert len({query.expression.relation for query in queries}) > 3
    for query in queries:
        assert (query.kind, query.target) == (KIND, -1)
        assert scores.of(query.expression).max() < NOWHERE


@pytest.mark.parametrize(
    ("caption", "spared"),
    [
        ("a boat on the grass", {"boat", "blue boat"}),  # a boat may be any boat
        ("a blue boat", {"boat", "blue boat"}),
        ("a white boat", {"boat"}),
        ("two dogs", {"dog"}),
        ("a green car and a dog", {"green car", "dog"}),
    ],
)
def test_nothing_that_the_caption_tells_of_is_absent(make: Make, caption: str, spared: set[str]) -> None:
    """It may be there without a mask."""
    made = make(RED, HOUSE, absent=SHARD)
    assert names(made) - names(made, english().read([caption])[0].things) == spared


def test_in_a_misplaced_relation_the_contrary_holds(make: Make) -> None:
    found = {pair for seed in SEEDS for pair in misplaced(make(RED, HOUSE, TREE), seed)}
    assert {relation for _, relation, _ in found} >= {*OPPOSITE, "inside", "overlapping", "larger than"}
    sides = {pair for pair in found if pair[1] in OPPOSITE}
    assert sides <= {  # red car: top left, house: top right, tree: bottom middle
        *[(car, "right of", "house") for car in ("car", "red car")],
        *[("house", "left of", car) for car in ("car", "red car")],
        *[("tree", "above", other) for other in ("car", "red car", "house")],
        *[(other, "below", "tree") for other in ("car", "red car", "house")],
    }
    larger = {(subject, anchor) for subject, relation, anchor in found if relation == "larger than"}
    assert larger <= {(other, "tree") for other in ("car", "red car", "house")}


def test_what_is_misplaced_is_mostly_on_the_wrong_side(make: Make) -> None:
    """Rather than not inside, or not touching: of most pairs that is true, and teaches little."""
    made = make(RED, HOUSE, TREE)
    relations = [query.expression.relation for seed in range(40) for query in asked(made, seed=seed)]
    assert len(relations) > 200
    sides = [relation not in ("inside", "overlapping") for relation in relations]
    assert np.mean(sides) == pytest.approx(CONTRARY, abs=0.08)


def test_what_one_of_several_is_is_not_misplaced(make: Make) -> None:
    """A car on either side: "the car right of the house" is there as well."""
    made = make(RED, ("a blue car", (80, 10, 15, 10)), ("a house", (45, 8, 14, 14)))
    found = {pair for seed in SEEDS for pair in misplaced(made, seed)}
    assert {("red car", "right of", "house"), ("blue car", "left of", "house")} <= found
    assert not {("car", "right of", "house"), ("car", "left of", "house")} & found


def test_a_thing_that_might_be_the_unseen_is_not_misplaced(make: Make) -> None:
    """A second red car has no mask, and might be anywhere."""
    made = make(RED, HOUSE, TREE, unseen=[Phrase("car", ("red",))])
    found = {pair for seed in SEEDS for pair in misplaced(made, seed)}
    assert found and all("car" not in subject + anchor for subject, _, anchor in found)


def test_an_absent_thing_has_a_place_too(make: Make) -> None:
    made = make(RED, HOUSE, absent=("a boat", "a dog", "a green car"))
    queries = [query for seed in SEEDS for query in asked(made, seed=seed)]
    here = dict(zip(made.asker.names, made.asker.alone.tolist(), strict=True))
    superlatives, told, leaned = [], [], []
    for query in queries:
        subject, anchor = query.expression.subject, query.expression.anchor
        if anchor is None:
            (superlatives if query.expression.relation else []).append(query)
        elif subject not in here:
            told.append(query)
        elif anchor not in here:
            leaned.append(query)
        assert query.anchor == here.get(anchor, -1)  # the mask of what it is told against, if that is there
    assert superlatives and told and leaned


def test_a_seed_gives_the_same_again(make: Make) -> None:
    made = make(RED, HOUSE, TREE, absent=SHARD)
    assert asked(made, seed=3) == asked(made, seed=3) != asked(made, seed=4)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_no_more_than_wanted_and_the_ways_take_turns(make: Make, count: int) -> None:
    made = make(RED, HOUSE, TREE, absent=SHARD)
    queries = asked(made, count=count)
    assert len(queries) == count == len(set(queries))
    assert queries == asked(made)[:count]
    new = [query.expression.subject not in made.asker.names for query in queries if not query.expression.relation]
    assert len(new) == (count + 2) // 3 and all(new)  # a name is the first of three


def test_an_image_of_which_nothing_is_told_asks_for_names_and_extremes(make: Make) -> None:
    queries = asked(make(("", (5, 5, 10, 10)), absent=("a boat", "a dog")))
    assert queries and all(query.expression.anchor is None for query in queries)


def test_a_shard_without_other_things_asks_for_what_is_misplaced(make: Make) -> None:
    assert {query.expression.subject.text for query in asked(make(RED, HOUSE))} <= {"car", "red car", "house"}
    assert asked(make(RED)) == []
