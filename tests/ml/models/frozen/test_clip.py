import json
from pathlib import Path

import open_clip
import pytest
import torch

from ml.errors import UserError
from ml.models.frozen.architecture import build_clip
from ml.models.frozen.clip import load_captioner, load_clip, read_text
from ml.models.weights import write_weights
from ml.toytown.pretraining.merges import learn_merges, write_merges

VISION = {"image_size": 16, "patch_size": 8, "width": 32, "head_width": 16, "layers": 1}
TEXT = {"context_length": 12, "width": 32, "heads": 2, "layers": 2}


def write_model(folder: Path, name: str, coca: bool) -> None:
    torch.manual_seed(0)
    write_merges(folder / "merges.txt.gz", learn_merges(["a red car", "two blue balls"]))
    vocabulary = {"vocab_size": open_clip.SimpleTokenizer(str(folder / "merges.txt.gz")).vocab_size}
    architecture = {"embed_dim": 24, "vision_cfg": VISION | {"output_tokens": coca}, "text_cfg": TEXT | vocabulary}
    if coca:
        architecture["multimodal_cfg"] = TEXT | vocabulary
    model = build_clip(architecture)
    if coca:
        torch.nn.init.normal_(model.text_decoder.text_projection)
    sha256 = write_weights(folder / f"{name}.safetensors", model)
    config = {"architecture": architecture, "merges": "merges.txt.gz", "mean": [0.5] * 3, "std": [0.25] * 3}
    (folder / f"{name}.json").write_text(json.dumps(config | {"sha256": sha256}))


@pytest.fixture
def coca(tmp_path: Path) -> Path:
    write_model(tmp_path, "clip", coca=True)
    return tmp_path


def crops(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_embeddings_are_normalised_and_of_the_stated_sizes(coca: Path) -> None:
    clip = load_clip(coca)
    text = clip.encode_text(clip.tokenize(["a red car", "two blue balls"]))
    image = clip.encode_image(crops(3))
    assert text.tokens.shape == (2, clip.context_length, clip.text_dim) and text.pooled.shape == (2, clip.embed_dim)
    assert image.shape == (3, clip.embed_dim)
    for embedding in (text.pooled, image):
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(len(embedding)))


def test_a_token_is_its_contextual_feature_and_its_word(coca: Path) -> None:
    clip = load_clip(coca)
    ids = clip.tokenize(["red red"])[0]
    again = torch.nonzero(ids == ids[1]).flatten()  # where the sentence begins anew
    contextual, words = clip.encode_text(ids[None]).tokens[0].chunk(2, dim=-1)
    assert len(again) == 2 and not torch.allclose(*contextual[again])
    torch.testing.assert_close(*words[again])
    assert not torch.allclose(words[0], words[1])
    torch.testing.assert_close(words.std(-1, correction=0), torch.ones(len(words)), rtol=0, atol=0.05)


def test_text_features_do_not_depend_on_padding(coca: Path) -> None:
    clip = load_clip(coca)
    ids = clip.tokenize(["a red car"])
    whole, cut = clip.encode_text(ids), clip.encode_text(ids[:, :6])
    torch.testing.assert_close(cut.pooled, whole.pooled)
    torch.testing.assert_close(cut.tokens, whole.tokens[:, :6])
    assert whole.mask.sum() == 5  # start, three words, end
    assert clip.detokenize(ids[0]) == "a red car"


def test_short_texts_are_read_as_open_clip_reads_whole_ones(coca: Path) -> None:
    tower = load_clip(coca).model.text
    ids = load_clip(coca).tokenize(["two blue balls"])
    pooled, tokens = tower(ids)
    ours = read_text(tower, ids[:, :7])
    torch.testing.assert_close(ours[0], pooled)
    torch.testing.assert_close(ours[1], tokens[:, :7])


def test_unknown_words_are_spelled_and_long_texts_cut_before_the_end(coca: Path) -> None:
    clip = load_clip(coca)
    ids = clip.tokenize(["café", "a red car " * 20])
    assert clip.detokenize(ids[0]) == "café"
    assert ids.shape == (2, 12) and ids[1, -1] == clip.end_id


def test_captions_are_the_greedy_continuation(coca: Path) -> None:
    clip = load_clip(coca)
    pixels = crops(4)
    expected = []
    for crop in clip.normalize(pixels):
        ids = [clip.start_id]
        while len(ids) < clip.context_length and ids[-1] != clip.end_id:
            padded = torch.tensor([ids + [0] * (clip.context_length - len(ids))])
            logits = clip.model(crop[None], padded, output_labels=False)["logits"]
            ids.append(int(logits[0, len(ids) - 1].argmax()))
        expected.append(clip.detokenize(torch.tensor(ids)))
    assert clip.caption(pixels) == expected
    assert len(set(expected)) > 1


def test_a_clip_without_decoder_says_that_it_cannot_caption(tmp_path: Path) -> None:
    write_model(tmp_path, "clip", coca=False)
    with pytest.raises(UserError, match="cannot caption"):
        load_captioner(tmp_path).caption(crops(1))
    write_model(tmp_path, "captioner", coca=True)
    assert load_captioner(tmp_path).captions


def test_a_missing_merges_file_is_one_line(coca: Path) -> None:
    (coca / "merges.txt.gz").unlink()
    with pytest.raises(UserError, match="not readable as BPE merges"):
        load_clip(coca)
