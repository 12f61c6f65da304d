from pathlib import Path

import pytest

from ml.bench.vocabulary import Word, bench, old_ways, words
from ml.errors import UserError
from ml.labeling.geometry.relations import RELATIONS, SUPERLATIVES
from ml.labeling.language.places import places
from ml.labeling.language.ways import WAYS


def test_the_first_vocabulary_is_read_back_and_still_said() -> None:
    found = old_ways()
    assert set(found) == {*RELATIONS, *SUPERLATIVES}
    assert found["leftmost"] == {"leftmost {thing}", "{thing} on the left"}
    assert len(found["left of"]) == 2 and len(found["above"]) == 1
    for name, templates in found.items():
        for template in templates:
            text = template.format(thing="red bike", anchor="stove")
            assert [place.name for place in places(text)] == [name]
            assert [word[:2] for word in words(text)] == [(name, True)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dude", []),
        ("the dude on the left", [("leftmost", True, True)]),
        ("dude far left", [("leftmost", True, False)]),
        ("the rightmost dude", [("rightmost", True, True)]),
        ("dude extreme left edge", [("leftmost", False, False)]),
        ("Second tall dude from the left", [("second from left", True, False)]),
        ("fifth dude from left", [("fifth from left", False, False)]),
        ("bike by the stove in the corner", [("next to", True, False), ("corner", False, False)]),
        ("dude to the left of a bike", [("left of", True, True)]),
        ("bottom-left bike", [("bottom left", True, False)]),
        ("dude between bikes", [("between", True, False)]),
    ],
)
def test_words_as_they_are_said(text: str, found: list[tuple[str, bool, bool]]) -> None:
    assert words(text) == [Word(*word) for word in found]


def test_everything_that_is_said_is_taught() -> None:
    for name, ways in WAYS.items():
        for template in ways.said:
            text = template.format(thing="red bike", anchor="stove", other="dude", anchors="dudes")
            assert words(text)[0][:2] == (name, True), text


def test_shares_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "said.csv"
    said = ["dude on the left", "left dude", "left dude in the corner", "dude in a hat"]
    path.write_text("\n".join(["split,sent", *(f"one,{text}" for text in said), "two,dude"]))
    rows = {row["case"]: (row["ours"], row["peer"], row["ratio"]) for row in bench(path)["rows"]}
    assert rows["one: all in words that are said, of 4"] == (50, 25, 2)
    assert rows["one: the same, of 3 with words of place"] == (66.67, 33.33, 2)
    assert rows["one: in any words for the places, of 3"] == (66.67, 66.67, 1)
    assert rows["one: leftmost, 3 times"] == (100, 33.33, 3)
    assert rows["one: corner, 1 times"] == (0, 0, None)
    assert rows["two: the same, of 0 with words of place"] == (0, 0, None)


@pytest.mark.parametrize("text", ["", "split,sent\n", "name\nx\n", "\x00"])
def test_a_file_without_expressions(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.csv: "):
        bench(path)
    with pytest.raises(UserError, match=r"none\.csv: "):
        bench(tmp_path / "none.csv")
