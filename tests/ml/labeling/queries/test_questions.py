from collections.abc import Callable
from typing import Any

import numpy as np

from ml.labeling.queries.questions import Question, ask

Make = Callable[..., Any]
RED, BLUE = ("a red car", (5, 10, 15, 10)), ("a blue car", (40, 10, 15, 10))
HOUSE = ("a house", (75, 8, 14, 14))


def asked(made: Any, count: int = 100, seed: int = 0) -> list[Question]:
    rng = np.random.default_rng(seed)
    return ask(made.asker, made.asker.all(), made.levels, made.crops, made.words, count, rng)


def answers(made: Any) -> dict[str, tuple[str, int]]:
    return {question.question: (question.answer, question.evidence) for question in asked(made)}


def test_color_number_place_presence(make: Make) -> None:
    found = answers(make(RED, BLUE, HOUSE, absent=("a boat",)))
    assert found["how many cars are there?"] == ("two", -1)
    assert found["how many houses are there?"] == ("one", 2)
    assert found["what is left of the blue car?"] == ("a red car", 0)
    assert found["is there a boat?"] == ("no", -1)
    assert [value for key, value in found.items() if key.startswith("is there a ") and value[0] == "yes"]
    colors = {key: value for key, value in found.items() if key.startswith("what color")}
    assert ("red", 0) in colors.values()
    assert all("red" not in key.split("car")[0] for key, value in colors.items() if value == ("red", 0))


def test_two_there_is_no_answer(make: Make) -> None:
    """Both cars are left of the house."""
    assert "what is left of the house?" not in answers(make(RED, BLUE, HOUSE))


def test_an_undescribed_object_counts_too(make: Make) -> None:
    question = "what is right of the red car?"
    assert answers(make(RED, BLUE))[question] == ("a blue car", 1)
    assert question not in answers(make(RED, BLUE, ("", (70, 10, 10, 10))))


def test_what_is_here_is_not_denied(make: Make) -> None:
    found = answers(make(RED, HOUSE, absent=("a house",)))
    assert "no" not in {answer for answer, _ in found.values()}


def test_kinds_take_turns(make: Make) -> None:
    made = make(RED, BLUE, HOUSE, absent=("a boat",))
    kinds = {question.question.split()[1] for question in asked(made, count=4)}
    assert kinds == {"color", "many", "is", "there"}
    assert asked(made, count=4) == asked(made, count=4)
    assert asked(made, count=0) == []
