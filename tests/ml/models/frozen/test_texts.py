from pathlib import Path

import pytest
import torch

import ml.toytown
from ml.models.frozen import texts
from ml.models.frozen.clip import Clip, load_clip
from ml.models.frozen.texts import TextBank


@pytest.fixture
def clip() -> Clip:
    return load_clip(Path(ml.toytown.__file__).parent / "weights")


def test_features_are_those_of_the_tower(clip: Clip) -> None:
    bank = TextBank(clip, torch.device("cpu"))
    rows = [["a red box", "the blue box on the left"], ["", "a red box"]]
    for _ in range(2):  # encoded, then remembered
        found = bank.features(rows)
        assert found.tokens.shape[:2] == found.pooled.shape[:2] == found.mask.shape[:2] == (2, 2)
        for i in range(2):
            for j in range(2):
                wanted = clip.encode_text(clip.tokenize([rows[i][j]]))
                length = int(wanted.mask.sum())
                assert int(found.mask[i, j].sum()) == length
                assert torch.allclose(found.tokens[i, j, :length], wanted.tokens[0, :length], atol=1e-5)
                assert torch.allclose(found.pooled[i, j], wanted.pooled[0], atol=1e-5)


def test_each_string_is_encoded_once(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = TextBank(clip, torch.device("cpu"))
    encoded: list[int] = []
    encode = clip.encode_text
    monkeypatch.setattr(clip, "encode_text", lambda ids: (encoded.append(len(ids)), encode(ids))[1])
    bank.features([["a", "b", "a"]])
    bank.features([["b", "c"]])
    bank.features([["c", "a"]])
    assert encoded == [texts.CHUNK] * 2


def test_memory_is_bounded(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    five = 5 * 4 * (5 * clip.text_dim + clip.embed_dim)  # of five tokens each, start and end among them
    monkeypatch.setattr(texts, "REMEMBERED_BYTES", five)
    bank = TextBank(clip, torch.device("cpu"))
    for color in ("red", "green", "blue") * 3:
        for thing in ("house", "box", "car"):
            bank.features([[f"a {color} {thing}", "a red box"]])
            assert sum(part.nbytes for known in bank._known.values() for part in known) <= five
    assert 3 <= len(bank._known) <= 5
    assert {"a red box", "a blue car"} <= set(bank._known)


def test_ids_are_cut_to_the_longest(clip: Clip) -> None:
    bank = TextBank(clip, torch.device("cpu"))
    ids = bank.ids(["red", "a red car", ""])
    assert ids.shape == (3, 5)
    assert clip.detokenize(ids[1]) == "a red car"
    assert ids[2].tolist() == [clip.pad_id] * 5
    assert bank.ids(["", ""]).shape == (2, 2)
