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

from ml.errors import UserError, cut
from ml.evaluation.benchmarks.benchmark import LEAVES, Benchmark, Example, RefusedError, find_image
from ml.evaluation.benchmarks.regions import check_box
from ml.sa1b.reading.values import read_lines, read_text, text

PHRASE = re.compile(r"\[/EN#([0-9]+)((?:/[^\s/\]]+)+) ((?:(?!\[?/?EN#)[^\]])+)\]")
MARK = re.compile(r"\[?/?EN#")  # what a phrase begins with, a letter of it lost or not
SPLITS = ("val", "test", "ways")  # the last one of toytown alone


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
    return [phrase for phrase in _marks(line) if phrase]


def _marks(line: str) -> list[Phrase | None]:
    """What is marked in a sentence, in order; None for a mark that lacks its type, its words or its end."""
    return [_phrase(PHRASE.match(line, mark.start())) for mark in MARK.finditer(line)]


def _phrase(found: re.Match[str] | None) -> Phrase | None:
    if found is None or not found[3].strip():
        return None
    entity, types, words = found.groups()
    return Phrase(entity, tuple(types.split("/")[1:]), words.strip())


def read_entities(path: Path) -> Entities:
    """An image's boxes. A box of corners (xmin, ymin, xmax, ymax) has the width xmax - xmin.

    Raises:
        UserError: missing, no XML, or a field is missing.
    """
    try:
        root = ElementTree.fromstring(read_text(path))
        size = (int(root.findtext("size/height", "")), int(root.findtext("size/width", "")))
        boxes: dict[str, list[list[float]]] = defaultdict(list)
        unboxed: dict[str, str] = {}
        for node in root.iterfind("object"):
            entities = [(name.text or "").strip() for name in node.iterfind("name")]
            if not all(entities) or not entities:
                raise ValueError("an object without the name of its entity")
            corners = [float(node.findtext(f"bndbox/{edge}", "nan")) for edge in ("xmin", "ymin", "xmax", "ymax")]
            for entity in entities:
                if node.find("bndbox") is None:
                    unboxed[entity] = "scene" if node.findtext("scene") == "1" else "nobndbox"
                else:
                    x0, y0, x1, y1 = corners
                    boxes[entity].append([x0, y0, x1 - x0, y1 - y0])
    except (ElementTree.ParseError, ValueError) as error:
        found = cut(str(error))
        raise UserError(f"{path}: not an annotation of Flickr30k Entities ({found}); fetch it again") from error
    return Entities(size, dict(boxes), unboxed)


def plain_sentence(line: str) -> str:
    """A sentence without its marks."""
    return " ".join(PHRASE.sub(r"\3", line).split())


def read_flickr30k(folder: Path) -> list[Benchmark]:
    """The phrases of each split, each with all the boxes of its entity; and the images, each with its sentences.

    Where `val.txt` and `test.txt` (one image id a line) are absent, every annotated image counts as test.

    Raises:
        UserError: the folder is not laid out as distributed.
    """
    for part in ("Sentences", "Annotations"):
        if not (folder / part).is_dir():
            raise UserError(f"{folder / part}: no such folder; point params.benchmarks.flickr30k at its parent")
    phrases, captions = Benchmark("flickr30k"), Benchmark("flickr30k_captions")
    seen: dict[str, str] = {}
    for split, name in _members(folder):
        if name in seen:
            _refuse_again(phrases, captions, folder, name, split, seen[name])
            continue
        seen[name] = split
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
        return [name for line in read_lines(path) if (name := line.strip())]
    except UserError as error:
        raise UserError(f"{error}; expected an image id a line") from error


def _refuse_again(phrases: Benchmark, captions: Benchmark, folder: Path, name: str, split: str, first: str) -> None:
    """Note an image that is listed again: its questions are asked once, in the first of the splits."""
    elsewhere = split != first
    reason = f"listed for {first}, too, where it stays" if elsewhere else "listed twice"
    phrases.refuse(name, f"{split}.txt", name, reason, lost=_visible(folder, name) if elsewhere else 0)
    captions.refuse(name, f"{split}.txt", name, reason, lost=int(elsewhere))


def _add_image(benchmark: Benchmark, captions: Benchmark, folder: Path, split: str, name: str) -> None:
    try:
        path, entities, sentences = _read_image(folder, name)
    except RefusedError as error:
        benchmark.refuse(name, error.field, error.value, error.reason, lost=_visible(folder, name))
        captions.refuse(name, error.field, error.value, error.reason)
        return
    benchmark.images[path] = captions.images[path] = entities.size
    _add_captions(captions, sentences, name, entities, split, path)
    for s, line in enumerate(sentences):
        for p, phrase in enumerate(_marks(line)):
            query_id = f"{name}_{s}_{p}"
            if phrase is None:
                benchmark.refuse(query_id, "Sentences", line, "a mark that is not [/EN#entity/type words]")
            else:
                _add_phrase(benchmark, entities, phrase, query_id, split, path)


def _read_image(folder: Path, name: str) -> tuple[str, Entities, list[str]]:
    """Where an image lies, its boxes and its sentences."""
    path = find_image(folder, [f"{place}/{name}.jpg" for place in ("flickr30k-images", "images")])
    if path is None:
        raise RefusedError("image", f"{name}.jpg", "image is missing")
    try:
        entities = read_entities(folder / "Annotations" / f"{name}.xml")
        sentences = _sentences(folder, name)
    except UserError as error:
        raise RefusedError("image", name, str(error).replace(f"{folder}/", "")) from error
    if not any(line.strip() for line in sentences):
        raise RefusedError("Sentences", f"{name}.txt", "no sentence")
    return path, entities, sentences


def _add_captions(
    captions: Benchmark, sentences: list[str], name: str, entities: Entities, split: str, path: str
) -> None:
    """Ask for an image's caption; a sentence that is empty or whose marks are broken is no reference."""
    references = []
    for s, line in enumerate(sentences):
        try:
            plain = plain_sentence(text(line))
            if MARK.search(plain):
                raise ValueError("a mark that is not [/EN#entity/type words]")
            references.append(plain)
        except ValueError as error:
            captions.refuse(f"{name}_{s}", "Sentences", line, str(error), lost=0)
    if not references:
        captions.refuse(name, "Sentences", f"{name}.txt", "no sound sentence")
        return
    captions.add(Example(name, split, path, entities.size, "", "caption", {"references": references}))


def _sentences(folder: Path, name: str) -> list[str]:
    return read_lines(folder / "Sentences" / f"{name}.txt")


def _visible(folder: Path, name: str) -> int:
    """How many phrases an image's sentences mark in the picture: those lost with it, 1 where there is no telling."""
    if LEAVES.search(name):
        return 1
    try:
        sentences = _sentences(folder, name)
    except UserError:
        return 1
    if not any(line.strip() for line in sentences):
        return 1
    return sum(phrase is None or not _is_invisible(phrase) for line in sentences for phrase in _marks(line))


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
    try:
        words, kind = text(phrase.text), text(phrase.types[0])
    except ValueError as error:
        return benchmark.refuse(query_id, "Sentences", phrase.text, str(error))
    benchmark.add(Example(query_id, split, path, entities.size, words, kind, truth))
    return None
