import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.labeling.language.english import english
from ml.labeling.language.phrases import Phrase
from ml.labeling.language.words import SEVERAL


def parse(caption: str) -> Phrase | None:
    return english().read([caption])[0].first


def parse_all(caption: str) -> list[Phrase]:
    return list(english().read([caption])[0].things)


CAPTIONS = [
    ("a red car", Phrase("car", ("red",))),
    ("a small red car", Phrase("car", ("red",))),  # a crop can't show size
    ("a wheel of a blue car", Phrase("wheel", whole=Phrase("car", ("blue",)))),
    ("a group of three red balls", Phrase("ball", ("red",), 3)),
    ("two red balls", Phrase("ball", ("red",), 2)),
    ("green grass", Phrase("grass", ("green",), mass=True)),
    ("the sky is blue", Phrase("sky", mass=True)),
    ("a close up of a man in a striped shirt", Phrase("man")),
    ("a black and white photo of a dog", Phrase("dog")),
    ("there is a cat sitting on a couch", Phrase("cat")),
    ("an old red truck parked on the street .", Phrase("truck", ("old", "red"))),
    ("a red and white bus", Phrase("bus", ("red and white",))),
    ("a man and a dog", Phrase("man")),
    ("a group of people standing around", Phrase("person", (), SEVERAL)),
    ("a glass of water on a table", Phrase("glass of water")),
    ("a building with windows", Phrase("building")),
    ("leaves on a tree", Phrase("leaf", (), SEVERAL)),
    ("A Bed, unmade", Phrase("bed")),
    ("a stuffed bear", Phrase("bear", ("stuffed",))),
    ("a John Deere tractor", Phrase("john deere tractor")),
    ("a neon green and orange uniform", Phrase("uniform", ("neon green and orange",))),
    ("a red, white and blue flag", Phrase("flag", ("red, white and blue",))),
    ("a light blue wooden chair", Phrase("chair", ("light blue", "wooden"))),
    ("a brightly colored umbrella", Phrase("umbrella", ("brightly colored",))),
    ("a brick wall", Phrase("wall", ("brick",))),
    ("an orange shirt", Phrase("shirt", ("orange",))),
    ("an orange", Phrase("orange")),
    ("a few boys playing soccer", Phrase("boy", (), SEVERAL)),
    ("a couple of people", Phrase("person", (), SEVERAL)),
    ("2 dogs", Phrase("dog", (), 2)),
    ("a picture of a photo of a cat", Phrase("cat")),
    # What a tagger takes for nouns.
    ("a woman sweeps", Phrase("woman")),
    ("a man in a red shirt walks by", Phrase("man")),
    ("a young girl balances on a beam", Phrase("girl", ("young",))),
    ("a young female climbing a tree", Phrase("female", ("young",))),
    ("the left wheel of a car", Phrase("wheel", ("left",), mass=True, whole=Phrase("car"))),
    ("the car left of the house", Phrase("car", mass=True)),
    ("a t-shirt", Phrase("t-shirt")),
]


@pytest.mark.parametrize(("caption", "phrase"), CAPTIONS)
def test_reads_captions(caption: str, phrase: Phrase) -> None:
    assert parse(caption) == phrase


@pytest.mark.parametrize("caption", ["", "of", "a", " . ", "!!", "and", "in red", "\U0001f436", "\u72d7", "a " * 3000])
def test_a_caption_without_a_noun_says_nothing(caption: str) -> None:
    assert parse(caption) is None


def test_all_phrases_of_a_caption() -> None:
    said = parse_all("a picture of two red birds, a dog and a wheel of a car on green grass under a blue sky")
    names = [phrase.indefinite for phrase in said]
    assert names == ["a group of two red birds", "a dog", "a wheel of a car", "green grass", "a blue sky"]
    assert parse_all("") == []


RELATIONS = [
    ("the man left of the car", [("man", "left of", "car")]),
    ("a dog on a sofa", [("dog", "on", "sofa")]),
    ("a man in a hat on a horse", [("man", "in", "hat"), ("man", "on", "horse")]),
    ("a dog and a cat on a bed", [("cat", "on", "bed")]),
    ("a cat. a dog behind a tree", [("dog", "behind", "tree")]),
    ("a red car", []),
]


@pytest.mark.parametrize(("caption", "relations"), RELATIONS)
def test_how_things_stand_to_one_another(caption: str, relations: list[tuple[str, str, str]]) -> None:
    things, found = english().read([caption])[0]
    assert [(things[a].noun, words, things[b].noun) for a, words, b in found] == relations


def test_what_attributes_tell() -> None:
    kinds = parse("an old light blue wooden chair").kinds
    assert kinds == {"old": "other", "light blue": "colour", "wooden": "material"}


def test_forms() -> None:
    wheel = Phrase("wheel", whole=Phrase("car", ("orange",)))
    assert wheel.name == "wheel"
    assert wheel.definite == "the wheel of the orange car"
    assert wheel.indefinite == "a wheel of an orange car"
    balls = Phrase("ball", ("red",), 3)
    assert (balls.name, balls.indefinite) == ("three red balls", "a group of three red balls")
    assert Phrase("person", (), SEVERAL).name == "people"
    assert Phrase("grass", ("green",), mass=True).indefinite == "green grass"


def test_what_is_countable() -> None:
    said = ["a red car", "a wheel of a car", "two cars", "green grass"]
    assert [parse(caption).countable for caption in said] == [True, False, False, False]


def test_color() -> None:
    assert parse("an old red truck").color == "red"
    assert parse("a red and white bus").color == "red and white"
    assert parse("an orange").color == ""


WORDS = st.sampled_from(["car", "ball", "house", "box", "person", "leaf", "puppy", "glass", "bus"])
COLORS = st.lists(st.sampled_from(["red", "blue", "striped", "wooden"]), max_size=2, unique=True).map(tuple)
THINGS = st.builds(Phrase, WORDS, COLORS, st.just(1))
PHRASES = st.one_of(
    THINGS,
    st.builds(Phrase, WORDS, COLORS, st.sampled_from([SEVERAL, 2, 3, 12, 15])),
    st.builds(Phrase, WORDS, COLORS, st.just(1), st.just(False), THINGS),
)


@given(PHRASES)
def test_what_is_said_is_read_back(phrase: Phrase) -> None:
    assert parse(phrase.indefinite) == phrase


@given(st.text(max_size=60))
def test_any_text_is_taken(text: str) -> None:
    phrase = parse(text)
    assert phrase is None or phrase.noun
