import pytest

from ml.errors import UserError
from ml.labeling.language import english as room
from ml.labeling.language.english import LONGEST, SMALL, English, english, plain

TEXTS = ["a red car", "two dogs on green grass", "the wheel of the red car", "a man in a hat", "a red car"]


def test_a_text_is_read_alike_alone_and_in_company() -> None:
    alone = [English.spacy(SMALL).read([text])[0] for text in TEXTS[:2]]
    assert English.spacy(SMALL).read([*TEXTS * 200])[:2] == alone


def test_a_text_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, asked = English.spacy(SMALL), []
    monkeypatch.setattr(room, "told", lambda doc: asked.append(doc.text) or room.Told())
    reader.read(TEXTS)
    reader.read(["A  red CAR", *TEXTS])
    assert asked == TEXTS[:-1]


def test_what_is_remembered_is_bounded_and_still_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "REMEMBERED", 3)
    reader = English.spacy(SMALL)
    texts = [f"a red car {n}" for n in range(10)]
    assert reader.read(texts) == reader.read(texts)
    assert len(reader._known) == 3


def test_an_endless_text_is_read_to_a_point() -> None:
    assert len(plain("dog " * 10**6)) < LONGEST
    assert english().read(["a dog and " * 10**5])[0].first.noun == "dog"


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(
        UserError, match=r"^labels\.language: no spaCy model 'en_core_web_none' is installed; install it"
    ):
        English.spacy("en_core_web_none")
