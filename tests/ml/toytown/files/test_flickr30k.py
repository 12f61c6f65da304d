from pathlib import Path
from xml.etree import ElementTree

import pytest

from ml.evaluation.benchmarks.flickr30k import parse_sentence, read_entities, read_flickr30k
from ml.toytown.files.flickr30k import write_flickr30k

SAMPLES = Path(__file__).parents[5] / "shared" / "samples" / "flickr30k_entities"


@pytest.fixture(scope="module")
def folder(few, tmp_path_factory):
    path = tmp_path_factory.mktemp("flickr30k")
    write_flickr30k(path, few)
    return path


def test_lists_name_every_image_once(folder, few):
    names = [n for split in ("train", "val", "test", "ways") for n in (folder / f"{split}.txt").read_text().split()]
    many = few.toytown.flickr30k_images
    assert len(names) == len(set(names)) == 2 * many + -(-many // 2) + 2
    for place, suffix in (("flickr30k-images", "jpg"), ("Sentences", "txt"), ("Annotations", "xml")):
        assert sorted(path.stem for path in (folder / place).glob(f"*.{suffix}")) == sorted(names)


def test_five_sentences_whose_entities_have_boxes(folder):
    for path in (folder / "Sentences").glob("*.txt"):
        lines = path.read_text().splitlines()
        assert len(lines) == 5
        entities = read_entities(folder / "Annotations" / f"{path.stem}.xml")
        assert entities.size == (256, 256)
        for line in lines:
            phrases = parse_sentence(line)
            assert len(phrases) >= 2 and line[line.index(" ") + 1].isupper() and line.endswith(" .")
            for phrase in phrases:
                for x, y, w, h in entities.boxes[phrase.entity]:
                    assert 0 <= x < x + w <= 256 and 0 <= y < y + h <= 256


def test_plural_phrases_have_a_box_each(folder):
    counted = 0
    for path in (folder / "Sentences").glob("*.txt"):
        entities = read_entities(folder / "Annotations" / f"{path.stem}.xml")
        for phrase in parse_sentence(path.read_text()):
            if phrase.text.lower().startswith(("two ", "three ")):
                wanted = 2 if phrase.text.lower().startswith("two") else 3
                assert len(entities.boxes[phrase.entity]) == wanted
                counted += 1
    assert counted


def test_xml_has_the_real_elements(folder):
    if not SAMPLES.exists():
        pytest.skip("no Flickr30k Entities samples beside this checkout")

    def paths(root, prefix=""):
        return {f"{prefix}/{child.tag}" for child in root} | {
            path for child in root for path in paths(child, f"{prefix}/{child.tag}")
        }

    ours = ElementTree.parse(sorted((folder / "Annotations").glob("*.xml"))[0]).getroot()
    real = ElementTree.parse(SAMPLES / "Annotations" / "100652400.xml").getroot()
    assert paths(ours) == paths(real)


def test_the_evaluation_reads_all_of_it(folder):
    benchmark, _ = read_flickr30k(folder)
    assert not benchmark.rejected and not benchmark.left_out
    own, anew = ({e.kind for e in benchmark.examples if (e.split == "ways") == ways} for ways in (False, True))
    assert own <= {"people", "animals", "vehicles", "scene", "other"}
    assert anew <= {"two-attributes", "clause", "participle", "synonym", "plural", "scene"} and len(anew) > 3
