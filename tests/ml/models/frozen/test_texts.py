from pathlib import Path

import pytest
import torch

import ml.toytown
from ml.labeling.language.referents import UNREAD, Referents, referents
from ml.models.frozen import texts
from ml.models.frozen.clip import Clip, load_clip
from ml.models.frozen.texts import REFERENTS, TextBank


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


QUERIES = ["the red box left of a blue house", "leftmost box", "the wheel of the car", ""]
SPOKEN = [("red box", "blue house"), ("box", ""), ("wheel", "car"), ("", "")]


def test_a_query_comes_with_what_it_speaks_of(clip: Clip) -> None:
    """Each part as it would be read alone; zeros where there is none."""
    bank = TextBank(clip, torch.device("cpu"))
    for _ in range(2):  # encoded, then remembered
        found = bank.queries([QUERIES[:2], QUERIES[2:]])
        assert found.referents.shape == (2, 2, REFERENTS, clip.embed_dim)
        for query, parts in enumerate(SPOKEN):
            for place, text in enumerate(parts):
                wanted = clip.encode_text(clip.tokenize([text])).pooled[0] if text else torch.zeros(clip.embed_dim)
                assert torch.allclose(found.referents[query // 2, query % 2, place], wanted, atol=1e-5), text
        assert torch.allclose(found.referents.norm(dim=-1), (found.referents != 0).any(-1).float(), atol=1e-5)


def test_what_is_known_of_the_first_queries_is_not_read(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    bank, read = TextBank(clip, torch.device("cpu")), []
    wanted = bank.queries([QUERIES, QUERIES[::-1]]).referents
    monkeypatch.setattr(texts, "referents", lambda asked, reader: read.extend(asked) or referents(asked, reader))
    known = [[Referents(*both) for both in SPOKEN[:2]], [UNREAD]]
    assert torch.equal(bank.queries([QUERIES, QUERIES[::-1]], known).referents, wanted)
    assert read == [QUERIES[2], *QUERIES[2::-1]]  # and none of padding


def test_a_query_is_otherwise_read_as_any_text(clip: Clip) -> None:
    bank = TextBank(clip, torch.device("cpu"))
    whole, found = bank.features([QUERIES]), bank.queries([QUERIES])
    for name in ("tokens", "pooled", "mask"):
        assert torch.equal(getattr(found, name), getattr(whole, name))


def test_what_a_query_speaks_of_does_not_depend_on_its_company(clip: Clip) -> None:
    """To the last bit: after resuming, a query is met in other company."""
    together = TextBank(clip, torch.device("cpu")).queries([QUERIES, [f"a green thing {n}" for n in range(4)]])
    for place, query in enumerate(QUERIES):
        alone = TextBank(clip, torch.device("cpu")).queries([[query]])
        assert torch.equal(alone.referents[0, 0], together.referents[0, place])


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
