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


def test_a_broken_mark_is_refused_and_takes_no_other_along(folders: dict[str, Path]) -> None:
    sentences = [
        "[/EN#1/vehicles A red car with [/EN#3/other two balls] .",  # no end
        "[/EN#1 A red car] with [/EN#3/other two balls] .",  # no type
        "[/EN#1/vehicles A red car] with EN#3/other two balls] .",  # no beginning
        "[/EN#1/vehicles A\u2028red\x0ccar] .",
    ]
    (folders["flickr30k"] / "Sentences" / "7.txt").write_text("\n".join(sentences) + "\n")
    phrases, captions = read_flickr30k(folders["flickr30k"])
    assert [(e.query_id, e.text) for e in phrases.examples] == [
        ("7_0_1", "two balls"),
        ("7_1_1", "two balls"),
        ("7_2_0", "A red car"),
        ("7_3_0", "A\u2028red\x0ccar"),
    ]
    assert [(r.item, r.reason) for r in phrases.rejected] == [
        (item, "a mark that is not [/EN#entity/type words]") for item in ("7_0_0", "7_1_0", "7_2_1")
    ]
    assert phrases.lost == 3 and captions.lost == 0 and len(captions.rejected) == 3
    assert captions.examples[0].truth == {"references": ["A red car ."]}


@pytest.mark.parametrize("text", ["", "\n\n", " \n"])
def test_an_image_without_a_sentence_is_lost(folders: dict[str, Path], text: str) -> None:
    (folders["flickr30k"] / "Sentences" / "7.txt").write_text(text)
    for benchmark in read_flickr30k(folders["flickr30k"]):
        assert [r.reason for r in benchmark.rejected] == ["no sentence"] and benchmark.lost == 1
        assert not benchmark.examples


def test_an_image_that_is_listed_again_is_asked_once(folders: dict[str, Path]) -> None:
    folder = folders["flickr30k"]
    (folder / "test.txt").write_bytes(b"\xef\xbb\xbf7\r\n7\r\n")
    phrases, captions = read_flickr30k(folder)
    assert [r.reason for r in phrases.rejected] == ["listed twice"] and phrases.lost == captions.lost == 0
    (folder / "test.txt").write_text("7\n")
    (folder / "val.txt").write_text("7\n")
    phrases, captions = read_flickr30k(folder)
    assert {e.split for e in phrases.examples} == {"val"} and len(phrases.examples) == 2
    assert [(r.field, r.reason) for r in captions.rejected] == [("test.txt", "listed for val, too, where it stays")]
    assert phrases.lost == 3 and captions.lost == 1


@pytest.mark.parametrize("name", ["../7", "/etc/7", "a\\7", "x" * 5000, "7\0"])
def test_a_listed_name_stays_in_the_folder(folders: dict[str, Path], name: str) -> None:
    (folders["flickr30k"] / "test.txt").write_text(f"{name}\n7\n")
    phrases, captions = read_flickr30k(folders["flickr30k"])
    assert len(phrases.examples) == 2 and phrases.lost == captions.lost == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<name>3</name>", ""),
        ("<xmin>60</xmin>", "<xmin>1e999</xmin>"),
        ("<xmin>60</xmin>", ""),
        ("<width>128</width>", f"<width>{'9' * 5000}</width>"),
        ("<xmax>100</xmax>", "<xmax>60</xmax>"),
        ("<xmax>100</xmax>", "<xmax>900</xmax>"),
    ],
)
def test_a_broken_box_takes_its_phrase_or_its_image_along(folders: dict[str, Path], old: str, new: str) -> None:
    path = folders["flickr30k"] / "Annotations" / "7.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    phrases, _ = read_flickr30k(folders["flickr30k"])
    assert len(phrases.rejected) == 1 and "two balls" not in {e.text for e in phrases.examples}
