"""The tokenizer against open_clip's."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer, default_bpe

from ml.errors import UserError
from ml.labeling.language.words import listed
from ml.release.runtime.bpe import Tokenizer
from ml.toytown.pretraining.pretrain import WEIGHTS

MERGES = {"published": Path(default_bpe()), "own": WEIGHTS / json.loads((WEIGHTS / "clip.json").read_text())["merges"]}
LENGTH = 16
BOTH = {name: (Tokenizer(path), SimpleTokenizer(str(path))) for name, path in MERGES.items()}
WORDS = listed("a red car house's don't &amp; ümläut 12 <end_of_text> leftmost 🚗 it’s ... FOO")
PIECES = st.sampled_from(sorted(WORDS))


@pytest.mark.parametrize("name", MERGES)
@given(st.lists(PIECES | st.text(max_size=8), max_size=12).map(" ".join))
@settings(deadline=None, max_examples=200)
def test_ids_are_open_clips(name: str, text: str) -> None:
    ours, theirs = BOTH[name]
    assert (ours([text], LENGTH) == theirs([text], LENGTH).numpy()).all()
    assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text)).strip()
    assert (ours.start_id, ours.end_id) == (theirs.sot_token_id, theirs.eot_token_id)


@pytest.mark.parametrize("content", [None, b"plain", gzip.compress(b"a b")[:12]])
def test_broken_merges_are_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "merges.txt.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"merges\.txt\.gz: not readable as BPE merges"):
        Tokenizer(path)
