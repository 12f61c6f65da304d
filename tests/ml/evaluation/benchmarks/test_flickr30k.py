"""Flickr30k Entities: markup, several boxes a phrase, and the phrases that have none."""

from pathlib import Path

import pytest

from ml.errors import UserError
from ml.evaluation.benchmarks.flickr30k import Phrase, parse_sentence, read_entities, read_flickr30k


def test_markup() -> None:
    line = "[/EN#547/people Several climbers] in [/EN#0/notvisual a row] on [/EN#5/people/clothing red [ish] coat"
    assert parse_sentence(line)[:2] == [
        Phrase("547", ("people",), "Several climbers"),
        Phrase("0", ("notvisual",), "a row"),
    ]


def test_phrases_carry_all_boxes_of_their_entity(folders: dict[str, Path]) -> None:
    benchmark, _ = read_flickr30k(folders["flickr30k"])
    texts = {e.text: e for e in benchmark.examples}
    assert set(texts) == {"A red car", "two balls"}
    assert texts["two balls"].truth["boxes"] == [[60.0, 40.0, 40.0, 40.0], [20.0, 60.0, 24.0, 24.0]]
    assert benchmark.left_out == {"scene": 1, "notvisual": 1}


def test_the_real_files_are_read(samples: Path) -> None:
    benchmark, _ = read_flickr30k(samples / "flickr30k_entities")
    assert len(benchmark.images) == 6 and len(benchmark.examples) == 92 and not benchmark.rejected
    climbers = next(e for e in benchmark.examples if e.text == "Several climbers")
    entities = read_entities(samples / "flickr30k_entities" / "Annotations" / "1016887272.xml")
    assert climbers.truth["boxes"] == entities.boxes["547"] and len(climbers.truth["boxes"]) > 3
    assert climbers.truth["boxes"][0] == [194.0, 370.0, 37.0, 84.0]
    assert benchmark.left_out["nobndbox"] == 14


def test_broken_annotations_are_rejected_and_named(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = folders["flickr30k"]
    (folder / "Annotations" / "7.xml").write_text("<annotation><size>")
    benchmark, _ = read_flickr30k(folder)
    assert not benchmark.examples and "7.xml" in benchmark.rejected[0].reason
    with pytest.raises(UserError, match="Sentences"):
        read_flickr30k(tmp_path)


def test_a_list_of_images_that_is_no_text_is_named(folders: dict[str, Path]) -> None:
    (folders["flickr30k"] / "val.txt").write_bytes(b"7\xff\n")
    with pytest.raises(UserError, match=r"val\.txt: not readable .*; expected an image id a line"):
        read_flickr30k(folders["flickr30k"])
