import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.labeling.language.words import (
    SEVERAL,
    answer_number,
    article,
    attribute_kind,
    number,
    number_word,
    plural,
    singular,
)

WORDS = st.sampled_from(["car", "ball", "house", "box", "person", "leaf", "puppy", "glass", "bus", "t-shirt"])


@given(WORDS)
def test_plural_and_singular_are_inverse(noun: str) -> None:
    assert singular(plural(noun)) == noun
    assert singular(noun) == noun


@given(st.text(max_size=20))
def test_any_word_has_its_forms(word: str) -> None:
    assert singular(word) or not word
    assert number(word) is None or number(word) >= 0


def test_articles_and_numbers() -> None:
    assert (article("orange car"), article("car"), article("hour glass")) == ("an orange car", "a car", "an hour glass")
    assert (number_word(2), number_word(15)) == ("two", "15")
    assert [number(word) for word in ("two", "12", "several", "car", "0", "")] == [2, 12, SEVERAL, None, None, None]


@given(st.integers(1, 99))
def test_a_number_is_read_as_it_is_said(n: int) -> None:
    assert number(number_word(n)) == n


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("red", "colour"),
        ("light blue", "colour"),
        ("red-and-white", "colour"),
        ("tall", "size"),
        ("wooden", "material"),
        ("two", "number"),
        ("striped", "other"),
    ],
)
def test_what_an_attribute_tells(attribute: str, kind: str) -> None:
    assert attribute_kind(attribute) == kind


def test_answers_that_are_numbers() -> None:
    told = {"two": 2, "zero": 0, "0": 0, "11": 11, "twelve": 12, "several": -1, "red": -1, "": -1, "two cars": -1}
    assert {answer: answer_number(answer) for answer in told} == told
