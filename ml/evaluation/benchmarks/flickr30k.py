"""Flickr30k Entities: phrases marked in sentences, and the boxes of what they name; the sentences as captions.

Plummer et al., "Flickr30k Entities", 2015. A sentence reads `[/EN#547/people Several climbers] in ...`; the XML of
its image gives every entity its boxes. Entity 0 and `notvisual` phrases have none; `nobndbox` and `scene` mark
entities that are seen but not boxed: those phrases are counted, not scored.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import Benchmark, Example, check_box, find_image

PHRASE = re.compile(r"\[/EN#(\d+)((?:/[^\s/\]]+)+) ([^\]]+)\]")
SPLITS = ("val", "test")


@dataclass(frozen=True)
class Phrase:
    """A marked phrase: the entity it names, its types (people, clothing, ...) and its words."""

    entity: str
    types: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Entities:
    """One image's XML: (height, width), boxes xywh in pixels by entity, and the entities that have none."""

    size: tuple[int, int]
    boxes: dict[str, list[list[float]]]
    unboxed: dict[str, str]  # entity -> nobndbox or scene


def parse_sentence(line: str) -> list[Phrase]:
    """The phrases marked in a sentence, in order."""
    return [Phrase(e, tuple(types.split("/")[1:]), text.strip()) for e, types, text in PHRASE.findall(line)]


def read_entities(path: Path) -> Entities:
    """An image's boxes. A box of corners (xmin, ymin, xmax, ymax) has the width xmax - xmin.

    Raises:
        UserError: missing, no XML, or a field is missing.
    """
    try:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        size = (int(root.findtext("size/height", "")), int(root.findtext("size/width", "")))
        boxes: dict[str, list[list[float]]] = defaultdict(list)
        unboxed: dict[str, str] = {}
        for node in root.iterfind("object"):
            entities = [name.text or "" for name in node.iterfind("name")]
            corners = [float(node.findtext(f"bndbox/{edge}", "nan")) for edge in ("xmin", "ymin", "xmax", "ymax")]
            for entity in entities:
                if node.find("bndbox") is None:
                    unboxed[entity] = "scene" if node.findtext("scene") == "1" else "nobndbox"
                else:
                    x0, y0, x1, y1 = corners
                    boxes[entity].append([x0, y0, x1 - x0, y1 - y0])
    except OSError as error:
        raise UserError(f"{path}: not readable: {error.strerror}") from error
    except (ElementTree.ParseError, ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not an annotation of Flickr30k Entities ({error})") from error
    return Entities(size, dict(boxes), unboxed)


def plain_sentence(line: str) -> str:
    """A sentence without its marks."""
    return " ".join(PHRASE.sub(r"\3", line).split())


def read_flickr30k(folder: Path) -> list[Benchmark]:
    """The phrases of val and test, each with all the boxes of its entity; and the images, each with its sentences.

    Where `val.txt` and `test.txt` (one image id a line) are absent, every annotated image counts as test.

    Raises:
        UserError: the folder is not laid out as distributed.
    """
    for part in ("Sentences", "Annotations"):
        if not (folder / part).is_dir():
            raise UserError(f"{folder / part}: no such folder; point params.benchmarks.flickr30k at its parent")
    phrases, captions = Benchmark("flickr30k"), Benchmark("flickr30k_captions")
    for split, name in _members(folder):
        _add_image(phrases, captions, folder, split, name)
    return [phrases, captions]


def _members(folder: Path) -> list[tuple[str, str]]:
    lists = {split: folder / f"{split}.txt" for split in SPLITS}
    if not any(path.is_file() for path in lists.values()):
        return [("test", path.stem) for path in sorted((folder / "Annotations").glob("*.xml"))]
    present = {split: path for split, path in lists.items() if path.is_file()}
    return [(split, name) for split, path in present.items() for name in _names(path)]


def _names(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable ({error}); expected an image id a line") from error


def _add_image(benchmark: Benchmark, captions: Benchmark, folder: Path, split: str, name: str) -> None:
    def lose(part: str, value: str, reason: str) -> None:
        benchmark.refuse(name, part, value, reason, lost=_visible(folder, name))
        captions.refuse(name, part, value, reason)

    path = find_image(folder, [f"{place}/{name}.jpg" for place in ("flickr30k-images", "images")])
    if path is None:
        return lose("image", f"{name}.jpg", "image is missing")
    try:
        entities = read_entities(folder / "Annotations" / f"{name}.xml")
        sentences = _sentences(folder, name)
    except UserError as error:
        return lose("image", name, str(error))
    except (OSError, UnicodeDecodeError) as error:
        return lose("Sentences", f"{name}.txt", f"not readable ({error})")
    benchmark.images[path] = captions.images[path] = entities.size
    told = {"references": [plain_sentence(line) for line in sentences]}
    captions.examples.append(Example(name, split, path, entities.size, "", "caption", told))
    for s, line in enumerate(sentences):
        for p, phrase in enumerate(parse_sentence(line)):
            _add_phrase(benchmark, entities, phrase, f"{name}_{s}_{p}", split, path)
    return None


def _sentences(folder: Path, name: str) -> list[str]:
    return (folder / "Sentences" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def _visible(folder: Path, name: str) -> int:
    """How many phrases an image's sentences mark in the picture: those lost with it, 1 where they are not readable."""
    try:
        marked = [phrase for line in _sentences(folder, name) for phrase in parse_sentence(line)]
    except (OSError, UnicodeDecodeError):
        return 1
    return sum(not _is_invisible(phrase) for phrase in marked)


def _is_invisible(phrase: Phrase) -> bool:
    return phrase.entity == "0" or "notvisual" in phrase.types


def _add_phrase(benchmark: Benchmark, entities: Entities, phrase: Phrase, query_id: str, split: str, path: str) -> None:
    if _is_invisible(phrase):
        return benchmark.leave_out("notvisual")
    boxes = entities.boxes.get(phrase.entity)
    if boxes is None:
        return benchmark.leave_out(entities.unboxed.get(phrase.entity, "not annotated"))
    for box in boxes:
        if problem := check_box(box, entities.size):
            return benchmark.refuse(query_id, "bndbox", box, problem)
    truth = {"boxes": boxes, "counts": []}
    kind = phrase.types[0]
    example = Example(query_id, split, path, entities.size, phrase.text, kind, truth)
    benchmark.examples.append(example)
    return None
