"""How captions are read against phrases that people marked; the sentences here are made up."""

from pathlib import Path

import pytest

from ml.bench.phrases import bench
from ml.errors import UserError

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "samples" / "flickr30k_sentences"
SENTENCES = """[/EN#1/people A man] in [/EN#2/clothing a red shirt] walks [/EN#3/animals two brown dogs] .
[/EN#1/people A group of children] look at [/EN#0/notvisual it] in [/EN#4/clothing black] .
A quiet day .
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "1.txt").write_text(SENTENCES, encoding="utf-8")
    return tmp_path


def test_percentages_are_those_counted_by_hand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.bench.phrases.CAPTIONS", 8)
    rows = {row["case"]: row for row in bench(folder)["rows"]}
    assert [*rows] == ["recall", "precision", "first", "colours", "captions of six words"]
    assert {case: rows[case]["ours"] for case in ("recall", "first", "colours")} == {
        "recall": 100,  # of man, shirt, dog and group of children
        "first": 100,
        "colours": 100,
    }
    assert rows["precision"]["ours"] == 80  # "day" is marked nowhere
    assert rows["recall"]["peer_name"] == "spaCy's noun chunks"


def test_a_folder_without_marked_phrases_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("A man in a shirt .\n", encoding="utf-8")
    with pytest.raises(UserError, match="no sentences with marked phrases"):
        bench(tmp_path)


def test_a_file_of_another_encoding_is_named(folder: Path) -> None:
    (folder / "2.txt").write_bytes("[/EN#1/people A caf\u00e9 owner] waits .\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"2\.txt"):
        bench(folder)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs shared/samples beside the checkout")
def test_real_captions_are_read_as_people_marked_them() -> None:
    found = {row["case"]: row["ours"] for row in bench(SAMPLES)["rows"]}
    assert found["recall"] >= 97
    assert found["precision"] >= 96
    assert found["first"] >= 97.5
    assert found["colours"] >= 96
