from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.labeling.language import referents as room
from ml.labeling.language.english import english
from ml.labeling.language.ways import WAYS
from ml.labeling.queries.query import phrase_text
from ml.labeling.queries.questions import ask
from ml.labeling.queries.spoken import spoken_of
from ml.labeling.relevance import Sizes, Subject
from ml.training.data.augment import mirrored


def referents(query: str) -> room.Referents:
    return room.referents([query], english())[0]


QUERIES = [
    ("red car", "red car", ""),
    ("The Red Car", "red car", ""),
    ("a small red car", "red car", ""),  # a crop can't show size
    ("the sky", "sky", ""),
    ("green grass", "green grass", ""),
    ("glass of water", "glass of water", ""),
    # The other that a place is told against.
    ("the red car left of a house", "red car", "house"),
    ("the red car to the right of the blue house", "red car", "blue house"),
    ("the car on the left side of the house", "car", "house"),
    ("the ball on top of the box", "ball", "box"),
    ("the tree in front of the house", "tree", "house"),
    ("the car above the small white house", "car", "white house"),
    ("the car inside the green box", "car", "green box"),
    ("the car overlapping the house", "car", "house"),
    ("the car larger than the truck", "car", "truck"),
    ("the car larger than the other cars", "car", ""),
    ("a man who is taller than all the others", "man", ""),
    ("the red car that stands farther back than any other red car", "red car", ""),
    ("the dog bigger than the other animal", "dog", "animal"),
    ("the car bigger than the truck", "car", "truck"),
    ("a car below a car", "car", "car"),
    ("the car below the tree and left of the house", "car", "tree"),  # the first of several
    # Sides and superlatives are no things.
    ("the car on the left", "car", ""),
    ("man at the bottom left corner", "man", ""),
    ("right man", "man", ""),
    ("the car near the house on the right", "car", "house"),
    ("the leftmost car", "car", ""),
    ("largest blue ball", "blue ball", ""),
    ("topmost of", "topmost of", ""),
    # A part leans on its whole.
    ("the wheel of the red car", "wheel", "red car"),
    ("the left wheel of the red car", "wheel", "red car"),
    ("the wheel of the leftmost car", "wheel", "car"),
    ("the wheel of the red car left of the house", "wheel", "red car"),
    # Several are one prompt, as in the captions.
    ("three red balls", "a group of three red balls", ""),
    ("a group of three red balls", "a group of three red balls", ""),
    ("people left of the house", "a group of people", "house"),
    # What a relative clause tells.
    ("the cup that is both large and red", "red cup", ""),
    ("a scarf which is red and white", "red and white scarf", ""),
    ("the woman who is blonde left of the man who is bald", "blonde woman", "bald man"),
    ("the boy that is about to jump", "boy", ""),
    ("the boy that is red sox fan", "boy", "red sox fan"),
    # What comes before its thing, and one of several.
    ("not the brown cow, the other cow", "cow", "brown cow"),
    ("the other cow, not the brown cow", "cow", "brown cow"),
    ("between the bed and the lamp, the chair", "chair", "bed"),
    ("in front of the gate, a man who is bald", "bald man", "gate"),
    ("left guy, blue shirt", "guy", "blue shirt"),
    ("counting from the left, the third pizza", "pizza", ""),
    ("number two of the cups, from the top", "cup", ""),
    ("of the three bikes the one in the bottom left corner", "bike", ""),
    ("the tallest of the giraffes", "giraffe", ""),
    ("one of the giraffes", "giraffe", ""),
    ("the chest of the man", "chest", "man"),
    ("the nest of the birds", "nest", "a group of birds"),
    ("the most central plate", "plate", ""),
    ("the lamp right in the center of the scene", "lamp", ""),
    ("the most distant sheep", "sheep", ""),
    ("the boat all the way in the back", "boat", ""),
    ("the picture on the wall", "picture", "wall"),
    ("yellow doll in the image", "yellow doll", ""),
    ("a cow half hidden behind the fence", "cow", "fence"),
    # Questions speak of things as well.
    ("what color is the car left of the house?", "car", "house"),
    ("what is left of the blue car?", "blue car", ""),
    ("how many red cars are there?", "red car", ""),
    ("how many people are there?", "person", ""),
    ("is there a boat?", "boat", ""),
    ("are there two dogs?", "a group of two dogs", ""),
]


@pytest.mark.parametrize(("query", "name", "anchor"), QUERIES)
def test_what_a_query_names_and_leans_on(query: str, name: str, anchor: str) -> None:
    assert referents(query) == (name, anchor)


@pytest.mark.parametrize("query", ["", "red", "on the left", "largest", "!!", "the"])
def test_a_text_without_a_noun_names_itself(query: str) -> None:
    assert referents(query) == (query, "")


SAID = [said for ways in WAYS.values() for said in ways.said]


@pytest.mark.parametrize("the", ["", "the "])
def test_however_a_place_is_said_the_thing_and_its_anchor_are_found(the: str) -> None:
    texts = [the + said.format(thing="red car", anchor="house", anchors="houses", other="tree") for said in SAID]
    for text, said, found in zip(texts, SAID, room.referents(texts, english()), strict=True):
        anchor = "house" if "{anchor}" in said else "a group of houses" if "{anchors}" in said else ""
        assert (found.name, found.anchor.replace("two ", "")) == ("red car", anchor), text


@given(st.text(max_size=60))
def test_any_text_is_taken(text: str) -> None:
    name, anchor = referents(text)
    assert name or not text
    assert anchor == anchor.strip()


THINGS = st.sampled_from(["car", "red car", "tall white house", "leftmost ball", "left wheel", "three dogs", "sky"])
PLACES = st.sampled_from(["left of", "to the right of", "above", "larger than", "on the left side of", "of"])


@given(THINGS, PLACES, THINGS)
def test_a_mirrored_query_speaks_of_the_same(subject: str, place: str, anchor: str) -> None:
    query = f"the {subject} {place} the {anchor}"
    assert referents(mirrored(query)) == referents(query)


def test_what_the_labels_ask_is_read_as_it_was_meant(make: Callable[..., Any]) -> None:
    """However it is said: of each query the subject and the anchor that it was made of, sizes aside."""
    sizes = Sizes({"car": (np.log(0.02), 1.1)})
    balls = [("a red ball", (10 + 12 * i, 80, 10, 10), "object", 0) for i in range(3)]
    made = make(
        ("a group of three red balls", (10, 80, 34, 10), "group"),
        *balls,
        ("a red car", (5, 10, 12, 10)),
        ("a blue car", (40, 10, 20, 20)),
        ("a wheel of a blue car", (41, 26, 4, 4), "part", 5),
        ("a house", (75, 8, 14, 14)),
        ("blue sky", (0, 0, 100, 8), "scene"),
        sizes=sizes,
    )
    rng, kinds = np.random.default_rng(0), set()
    for query in [query for query in made.asker.all() for _ in range(5)]:
        subject, anchor = query.expression.subject, query.expression.anchor
        wanted = prompt(subject), prompt(anchor) if anchor else ""
        assert referents(phrase_text(query, rng)) == wanted == spoken_of(query.expression)
        kinds.add((query.kind, subject.size))
    assert {kind for kind, _ in kinds} == {"attribute", "group", "scene", "several", "superlative", "part", "relation"}
    assert {size for _, size in kinds} == {"", "small", "large"}


def test_what_the_labels_ask_in_questions_is_read(make: Callable[..., Any]) -> None:
    rows = ("a red car", (5, 10, 15, 10)), ("a blue car", (40, 10, 15, 10)), ("a house", (75, 8, 14, 14))
    made, rng = make(*rows, absent=("a boat",)), np.random.default_rng(0)
    questions = ask(made.asker, list(made.asker.all()), made.levels, made.crops, made.words, 100, rng)
    told = {question.question: referents(question.question) for question in questions}
    assert told["how many cars are there?"] == ("car", "")
    assert told["what is left of the blue car?"] == ("blue car", "")
    assert told["is there a boat?"] == ("boat", "")
    colors = {name for text, (name, _) in told.items() if text.startswith("what color")}
    assert colors == {"car"}


def prompt(subject: Subject) -> str:
    """A name as a query's prompt: without size, a group as in the captions."""
    several = subject.prompt.startswith("a group of")
    return subject.prompt if several else subject.text.removeprefix(f"{subject.size} " if subject.size else "")
