from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ml.labeling.language.phrases import Phrase
from ml.labeling.queries.query import Query, choose, clear_targets, phrase_text
from ml.labeling.relevance import Sizes

Make = Callable[..., Any]

RED = ("a red car", (5, 10, 15, 10))
BLUE = ("a blue car", (40, 10, 15, 10))
HOUSE = ("a house", (75, 8, 14, 14))


class Plain:
    """Says everything in the plainest way."""

    def random(self) -> float:
        return 0.99


def said(queries: list[Query]) -> dict[str, int]:
    """Text -> target."""
    return {phrase_text(query, Plain()): query.target for query in queries}


def test_names_that_mean_one(make: Make) -> None:
    assert said(make(RED, BLUE, HOUSE).asker.plain()) == {"red car": 0, "blue car": 1, "house": 2}


def test_a_name_of_several_means_them_all(make: Make) -> None:
    alike = ("a red car", (5, 60, 15, 10))
    found = make(RED, alike, BLUE, HOUSE)
    queries = {phrase_text(query, Plain()): query for query in found.asker.shared()}
    assert set(queries) == {"car", "red car"}  # not "blue car" and "house", of which there is one
    relevant = {text: (found.asker.scores.of(query.expression) >= 0.5).tolist() for text, query in queries.items()}
    assert relevant == {"car": [True, True, True, False], "red car": [True, True, False, False]}
    assert {query.kind for query in queries.values()} == {"several"}
    assert all(relevant[text][query.target] for text, query in queries.items())


def test_where_one_of_several_is_in_doubt_their_name_is_not_asked(make: Make) -> None:
    unseen = make(RED, BLUE, HOUSE, unseen=[Phrase("car", ("red",))]).asker  # a third has no mask
    assert not list(unseen.shared())
    doubtful = make(RED, BLUE, HOUSE).asker
    doubtful.scores.subjects[[name.text == "car" for name in doubtful.names], 2] = 0.45  # the house, perhaps
    assert not list(doubtful.shared())


def test_superlatives_of_what_is_ambiguous(make: Make) -> None:
    """Two cars side by side: one is leftmost, none is topmost, and nobody says "leftmost house"."""
    assert said(make(RED, BLUE, HOUSE).asker.superlatives()) == {"leftmost car": 0, "rightmost car": 1}


def test_the_largest_must_be_much_larger(make: Make) -> None:
    nearly = make(RED, ("a blue car", (40, 10, 16, 10))).asker.superlatives()
    assert not {"largest car", "smallest car"} & set(said(nearly))
    clearly = make(RED, ("a blue car", (40, 10, 20, 12))).asker.superlatives()
    assert said(clearly)["largest car"] == 1


def test_relations_tell_apart_what_names_do_not(make: Make) -> None:
    pair = make(("a red car", (5, 10, 10, 10)), ("a red car", (5, 80, 10, 10)), ("a house", (60, 8, 14, 14)))
    texts = said(pair.asker.relations())
    assert texts["the red car left of the house"] == 0
    assert texts["the red car below the house"] == 1
    assert {query.necessary for query in pair.asker.relations() if query.expression.subject.noun == "car"} == {True}


def test_an_ambiguous_anchor_is_no_anchor(make: Make) -> None:
    texts = said(make(RED, BLUE, HOUSE).asker.relations())
    assert "the house right of the red car" in texts
    assert "the house right of the car" not in texts


def test_all_parts_of_one_whole_are_meant(make: Make) -> None:
    wheels = [("a wheel of a red car", (6 + 8 * i, 16, 4, 4), "part", 0) for i in range(2)]
    one = make(RED, *wheels, BLUE, ("a wheel of a blue car", (41, 16, 4, 4), "part", 3))
    texts = said(one.asker.parts())
    assert texts["the wheel of the red car"] in (1, 2)
    assert texts["the wheel of the blue car"] == 4
    assert "the wheel of the car" not in texts
    assert "wheel" not in said(one.asker.plain())


def test_groups_and_stuff(make: Make) -> None:
    balls = [("a red ball", (10 + 12 * i, 50, 10, 10), "object", 0) for i in range(3)]
    sky = ("blue sky", (0, 0, 100, 30), "scene")
    asker = make(("a group of three red balls", (10, 50, 34, 10), "group"), *balls, sky).asker
    kinds = {(query.kind, query.target) for query in asker.plain()}
    assert kinds == {("group", 0), ("scene", 4)}
    assert {"three red balls", "three balls", "sky", "blue sky"} == set(said(asker.plain()))


def test_size_tells_apart(make: Make) -> None:
    """Area against all the shard's cars: the cut between the sizes lies at 2% of the image."""
    sizes = Sizes({"car": (np.log(0.02), 1.1)})
    asker = make(("a red car", (5, 10, 12, 10)), ("a red car", (50, 10, 20, 20)), sizes=sizes).asker
    assert said(asker.plain()) == {"small car": 0, "small red car": 0, "large car": 1, "large red car": 1}


def test_a_name_that_might_mean_the_unseen_is_not_used(make: Make) -> None:
    """A third car has no mask, only a wheel: "the car", "the red car" and "leftmost car" might mean it."""
    wheel = ("a wheel of a red car", (70, 60, 4, 4))
    asker = make(RED, BLUE, HOUSE, wheel, unseen=[Phrase("car", ("red",))]).asker
    texts = said(asker.all())
    assert {"blue car", "house"} <= set(texts)
    assert not [text for text in texts if "red car" in text or "most car" in text]
    assert [question for question in texts if "blue car left of the house" in question]


def test_near_duplicates_do_not_make_ambiguous(make: Make) -> None:
    asker = make(RED, ("a red car", (6, 10, 15, 10)), BLUE).asker
    assert said(asker.plain())["red car"] in (0, 1)


@pytest.mark.parametrize(
    ("row", "target"),
    [
        ([0.9, 0.1, 0.1], 0),
        ([0.9, 0.7, 0.1], -1),  # too close
        ([0.9, 0.55, 0.1], -1),  # another is relevant
        ([0.5, 0.1, 0.1], -1),  # not sure enough
        ([0.9, 0.1, 0.8], 0),  # its own part
        ([0.1, 0.1, 0.9], 2),
    ],
)
def test_clear(make: Make, row: list[float], target: int) -> None:
    geometry = make(RED, BLUE, ("a wheel of a red car", (6, 16, 4, 4), "part", 0)).asker.scores.geometry
    assert clear_targets(np.array([row], np.float32), geometry).tolist() == [target]


def test_anchors_are_what_the_words_name(make: Make) -> None:
    asker = make(RED, BLUE, HOUSE, ("a wheel of a red car", (6, 16, 4, 4), "part", 0)).asker
    anchors = {phrase_text(query, Plain()): query.anchor for query in asker.all()}
    assert anchors["the red car left of the blue car"] == 1
    assert anchors["the red car left of the house"] == 2
    assert anchors["the wheel of the red car"] == 0
    assert anchors["leftmost car"] == anchors["blue car"] == -1


def test_choice_takes_turns_and_repeats(make: Make) -> None:
    asker = make(RED, BLUE, HOUSE, ("a tree", (40, 50, 10, 30)), ("a dog", (10, 80, 10, 10))).asker
    relations = list(asker.relations())
    chosen = choose(relations, 8, "relation", np.random.default_rng(0))
    assert len(chosen) == 8 == len(set(chosen))
    assert len({query.expression.relation for query in chosen}) == len({q.expression.relation for q in relations})
    assert chosen == choose(relations, 8, "relation", np.random.default_rng(0))
    assert chosen != choose(relations, 8, "relation", np.random.default_rng(1))
    assert len(choose(relations, 10_000, "relation", np.random.default_rng(0))) == len(relations)


def test_ways_to_say_it(make: Make) -> None:
    asker = make(RED, BLUE, HOUSE).asker
    rng = np.random.default_rng(0)
    texts = {phrase_text(query, rng) for _ in range(30) for query in asker.all()}
    assert {
        "the red car left of the house",
        "the red car to the left of the house",
        "leftmost car",
        "the leftmost car",
        "car on the left",
        "red car",
        "the red car",
    } <= texts
