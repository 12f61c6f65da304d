import numpy as np

from ml.labeling.language.agreement import agree, part_names, unseen
from ml.labeling.language.english import english
from ml.labeling.language.phrases import Phrase
from ml.labeling.language.words import SEVERAL


def parse(text: str) -> Phrase | None:
    return english().read([text])[0].first


KNOWN = {("wheel", "truck"), ("wheel", "car")}


def told(captions: list[str], levels: str, parents: list[int], areas: list[int] | None = None) -> list[str]:
    """Phrases after agreement; `levels` by their first letters."""
    full = [{"p": "part", "o": "object", "g": "group", "s": "scene"}[letter] for letter in levels]
    phrases = [parse(caption) for caption in captions]
    found = agree(phrases, full, np.array(parents), np.array(areas or [1] * len(captions)), KNOWN)
    return [phrase.indefinite if phrase else "" for phrase in found]


def test_a_part_belongs_to_what_holds_it() -> None:
    captions = ["a blue truck", "a wheel of a red car", "a wheel of a blue truck"]
    assert told(captions, "opp", [-1, 0, 0])[1:] == ["a wheel of a blue truck"] * 2


def test_through_a_part_to_the_object() -> None:
    captions = ["a blue truck", "a cab of a blue truck", "a wheel of a car"]
    assert told(captions, "opp", [-1, 0, 1])[2] == "a wheel of a blue truck"


def test_a_part_that_its_whole_cannot_have_is_not_told() -> None:
    assert told(["a white house", "a wheel of a white car"], "op", [-1, 0]) == ["a white house", ""]


def test_a_part_without_its_whole_stays() -> None:
    assert told(["green grass", "a sail of a boat"], "so", [-1, 0]) == ["green grass", "a sail of a boat"]


def test_members_are_counted() -> None:
    captions = ["a group of four red balls", "a red ball", "a red ball"]
    assert told(captions, "goo", [-1, 0, 0], [100, 50, 48])[0] == "a group of two red balls"
    assert told(captions, "goo", [-1, 0, 0], [100, 50, 20])[0] == "a group of red balls"  # one has no mask
    assert told(captions[:1], "g", [-1])[0] == "a group of red balls"


def test_members_name_their_group() -> None:
    captions = ["a group of two red dogs", "a red bird", "a blue bird"]
    assert told(captions, "goo", [-1, 0, 0], [100, 50, 48])[0] == "a group of two birds"
    mixed = ["a group of two red dogs", "a red bird", "a blue ball"]
    assert told(mixed, "goo", [-1, 0, 0], [100, 50, 48])[0] == "a group of red dogs"


def test_nothing_said_stays_so() -> None:
    assert told(["", "a red car"], "go", [-1, 0]) == ["", "a red car"]


def test_which_parts_things_have() -> None:
    captions = ["a blue truck", "a wheel of a red truck", "a wheel of a red car", "a wheel of a truck"]
    phrases = [parse(caption) for caption in captions]
    found = part_names(phrases, ["object", "part", "part", "object"], np.array([-1, 0, 0, -1]))
    assert found == {("wheel", "truck"): 1}


def test_unseen_wholes() -> None:
    captions = ["a blue truck", "a wheel of a blue truck", "a crown of a green tree", "a group of three balls"]
    phrases = [parse(caption) for caption in captions]
    found = unseen(phrases, ["object", "part", "object", "group"], np.array([-1, 0, -1, -1]))
    assert found == {Phrase("tree", ("green",))}
    assert phrases[3].number == 3 != SEVERAL


def test_parents_in_a_circle_end() -> None:
    phrases = [parse("a wheel of a car")] * 2
    assert agree(phrases, ["part", "part"], np.array([1, 0]), np.array([1, 1]), KNOWN) == phrases
