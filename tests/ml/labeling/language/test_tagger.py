"""The tagger without spaCy against spaCy's own, word by word."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import UserError
from ml.labeling.language.english import SMALL, English, load, plain
from ml.labeling.language.hashing import hash64
from ml.labeling.language.referents import referents
from ml.labeling.language.tagger import CONFIG, Tagger
from ml.labeling.language.words import listed
from ml.release.export.english import write_tagger

PIECES = sorted(
    listed(
        "red car left of the house don't well-known e.g. a.m. U.S. 's cars' :) :-) 8-) ... -- x-ray $5.00 10km ( < = "
        "o'clock http://x.org/a (left) [2] “blue” café mark dep i'm can't've 1/2 and/or theatre colour tee-shirt"
    )
)
WORDS = st.sampled_from(PIECES) | st.text("ab'.,-/:;()@#$%&*=<é’1", min_size=1, max_size=7)
TEXTS = st.lists(WORDS, max_size=9).map(" ".join).map(plain)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tagger")
    write_tagger(SMALL, out)
    return out


@pytest.fixture(scope="module")
def tagger(folder: Path) -> Tagger:
    return Tagger.load(folder)


@pytest.fixture(scope="module")
def spacy_model() -> Any:
    return load(SMALL)


@given(st.lists(TEXTS, max_size=5))
@settings(deadline=None, max_examples=150)
def test_cuts_and_tags_as_spacy_does(tagger: Tagger, spacy_model: Any, texts: list[str]) -> None:
    ours = [[(word.text, word.tag_, word.lower_, word.is_alpha) for word in words] for words in tagger(texts)]
    docs = spacy_model.pipe(texts)
    assert ours == [[(token.text, token.tag_, token.lower_, token.is_alpha) for token in doc] for doc in docs]


@given(st.text(max_size=40))
def test_hashes_as_spacys_string_store(text: str) -> None:
    strings = pytest.importorskip("spacy.strings")
    assert hash64(text) == (strings.hash_string(text) if text else 0)


def test_a_query_speaks_of_the_same_things(tagger: Tagger) -> None:
    asked = ["the red car left of the house", "what color is the wheel of the bus?", "two dogs", "the second cup"]
    assert referents(asked, English(tagger)) == referents(asked, English.spacy(SMALL))


def test_needs_neither_spacy_nor_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ml.labeling.language.tagger import Tagger; "
        f"list(Tagger.load(Path({str(folder)!r}))(['a red car'])); assert not {{'spacy', 'torch'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_broken_one_is_one_line(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text("{")
    with pytest.raises(UserError, match="no tagger there") as error:
        Tagger.load(tmp_path)
    assert "\n" not in str(error.value)
