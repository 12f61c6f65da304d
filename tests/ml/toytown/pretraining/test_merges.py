from pathlib import Path

from open_clip import SimpleTokenizer

from ml.toytown.pretraining.merges import learn_merges, write_merges


def test_every_word_that_occurs_becomes_one_token(tmp_path: Path) -> None:
    texts = ["a red car left of the house", "what color is the red car?", "three birds , two dogs"]
    write_merges(tmp_path / "merges.txt.gz", learn_merges(texts))
    tokenizer = SimpleTokenizer(str(tmp_path / "merges.txt.gz"))
    for text in texts:
        words = text.replace("?", " ?").split()
        assert len(tokenizer.encode(text)) == len(words)
        assert tokenizer.decode(tokenizer.encode(text)).split() == words
    assert len(tokenizer.encode("zebra")) > 1 and tokenizer.decode(tokenizer.encode("zebra")).strip() == "zebra"


def test_the_file_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_merges(tmp_path / name, learn_merges(["a red car", "a blue boat"]))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
