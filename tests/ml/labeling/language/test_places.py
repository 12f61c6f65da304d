"""Words of place as people say them, read back to the place they name."""

from itertools import pairwise

import pytest

from ml.labeling.language.places import places
from ml.labeling.language.ways import NOWHERE, WAYS

THINGS = ("car", "small red car", "man in a blue shirt", "one", "woman holding a ball")
SAID = [(name, template) for name, ways in WAYS.items() for template in ways.said]


def names(text: str) -> list[str]:
    return [place.name for place in places(text)]


def spans(text: str) -> list[str]:
    return [text[place.start : place.end] for place in places(text)]


@pytest.mark.parametrize(("name", "template"), SAID)
def test_what_is_said_is_read_back(name: str, template: str) -> None:
    for thing in THINGS:
        text = template.format(thing=thing, anchor="house", other="tall tree", anchors="dogs")
        assert names(text) == names(f"the {text}") == names(text.upper()) == [name], text


@pytest.mark.parametrize(
    ("text", "name", "span"),
    [
        ("dude on the far left of the picture", "leftmost", "on the far left of the picture"),
        ("left-most dude", "leftmost", "left-most"),
        ("dude at right hand side", "rightmost", "at right hand side"),
        ("dude left of the stove", "left of", "left of"),
        ("dude on the left side of the stove", "left of", "on the left side of"),
        ("the 2nd tall dude from the right", "second from right", "the 2nd tall dude from the right"),
        ("fourth bike from left", "fourth from left", "fourth bike from left"),
        ("first bike on the left", "leftmost", "first bike on the left"),
        ("right upper bike", "top right", "right upper"),
        ("bike in lower left corner of the photo", "bottom left", "in lower left corner of the photo"),
        ("dude in front of the stove", "in front of", "in front of"),
        ("dude in front", "nearest", "in front"),
        ("bike right behind the stove", "behind", "right behind"),
        ("bike way in the back", "farthest", "way in the back"),
        ("bike closest to me", "nearest", "closest to me"),
        ("bike closest to the stove", "closest to", "closest to"),
        ("dude standing by the stove", "next to", "by"),
        ("bike in between two dudes", "between", "in between"),
        ("cup on top of the stove", "on top of", "on top of"),
        ("dude in the very center", "middle", "in the very center"),
    ],
)
def test_one_place(text: str, name: str, span: str) -> None:
    assert (names(text), spans(text)) == ([name], [span])


def test_several_places_in_the_text_s_order() -> None:
    assert names("front left dude next to the stove") == ["nearest", "leftmost", "next to"]


@pytest.mark.parametrize(
    "text",
    [
        "woman in a black top",
        "dude in a top hat",
        "dog looking to the left",
        "dude holding a cup in his right hand",
        "the back of the chair",
        "top of the tree",
        "rear wheel",
        "dog held by a dude",
        "middle aged dude",
        "dude wearing a shirt with a bear on the front",
        "bypass",
        "",
    ],
)
def test_what_only_looks_like_a_place(text: str) -> None:
    assert places(text) == []


def test_spans_do_not_overlap() -> None:
    text = "second dude from the left in the bottom right corner of the picture by the front of the stove near us"
    found = places(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert [place.name for place in found] == ["second from left", "bottom right", "next to", "nearest"]


def test_no_place_is_said_in_two_places_words() -> None:
    said = [template for _, template in SAID]
    assert len(said) == len(set(said)) and not WAYS[NOWHERE].said
