from collections.abc import Callable
from typing import Any

from ml.labeling.language.english import english
from ml.labeling.queries.summary import composed, image_caption

Make = Callable[..., Any]
GRASS, SKY = ("green grass", (0, 50, 100, 50), "scene"), ("blue sky", (0, 0, 100, 50), "scene")
RED, BLUE = ("a red car", (5, 60, 15, 10)), ("a blue car", (40, 60, 20, 10))


def caption(made: Any, said: str) -> str:
    regions = list(made.asker.regions.values())
    things = english().read([said])[0].things
    return image_caption(said, things, regions, made.asker.scores.geometry, made.crops, made.words)


def test_a_caption_that_the_masks_bear_out_stays(make: Make) -> None:
    assert caption(make(RED, GRASS), "a red car on green grass") == "a red car on green grass"


def test_one_that_they_do_not_is_composed(make: Make) -> None:
    made = make(RED, BLUE, SKY, GRASS, absent=("a boat",))
    assert caption(made, "a red car and a boat") == "a blue car and a red car on green grass"


def test_equal_things_are_counted_and_groups_told_once(make: Make) -> None:
    balls = [("a red ball", (10 + 12 * i, 80, 10, 10), "object", 2) for i in range(2)]
    made = make(
        RED, ("a red car", (60, 60, 15, 10)), ("a group of two red balls", (10, 80, 22, 10), "group"), *balls, GRASS
    )
    regions = list(made.asker.regions.values())
    assert composed(regions, made.asker.scores.geometry) == "two red balls and two red cars on green grass"


def test_copies_are_told_once(make: Make) -> None:
    made = make(RED, ("a red car", (5, 60, 16, 10)))
    assert composed(list(made.asker.regions.values()), made.asker.scores.geometry) == "a red car"


def test_nothing_to_tell_leaves_what_was_said(make: Make) -> None:
    assert caption(make(("", (5, 5, 10, 10))), "") == ""
