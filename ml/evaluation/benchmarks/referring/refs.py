"""RefCOCO, RefCOCO+ and RefCOCOg as the `refer` tools lay them out: `refs(<split_by>).p` beside `instances.json`."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import (
    IMAGE_FOLDERS,
    TWICE,
    Benchmark,
    Example,
    RefusedError,
    find_image,
    keyed,
    take,
)
from ml.evaluation.benchmarks.referring.kinds import expression_kind
from ml.evaluation.benchmarks.referring.plain_pickle import load_plain_pickle
from ml.evaluation.benchmarks.regions import image_side, region
from ml.sa1b.reading.values import identity, items, read_json, text

OTHER_EDITION = re.compile(r"\d{12}\.jpg")


@dataclass(frozen=True)
class Instances:
    """`instances.json`: images and annotations by id, and the ids of the categories, none where it does not say.

    Attributes:
        alike: how many annotations of a category an image has.
    """

    images: dict[int, Any]
    annotations: dict[int, Any]
    categories: set[int]
    alike: Counter[tuple[Any, Any]]


@dataclass(frozen=True)
class Ref:
    """An entry of `refs(<split_by>).p`; `sentences` as they came, each to be looked at by itself."""

    ref_id: int
    split: str
    ann_id: int
    image_id: int
    sentences: list[Any]


def read_refs(folder: Path, name: str, split_by: str, known_as: str) -> Benchmark:
    """The benchmark that refs and instances hold; rows that do not fit together are refused one by one.

    Raises:
        UserError: a file is not readable as a whole.
    """
    refs = load_plain_pickle(folder / name / f"refs({split_by}).p")
    if not isinstance(refs, list):
        raise UserError(f"{folder / name}/refs({split_by}).p: holds a {type(refs).__name__}; expected a list")
    benchmark = Benchmark(known_as)
    instances = _instances(benchmark, folder / name / "instances.json")
    taken: set[int] = set()
    for entry in refs:
        if isinstance(entry, dict) and entry.get("split") == "train":
            continue
        item = "ref"
        try:
            ref = _ref(entry)
            item = f"ref {ref.ref_id}"
            if ref.ref_id in taken:
                raise RefusedError("ref_id", ref.ref_id, TWICE)
            taken.add(ref.ref_id)
            _add(benchmark, folder, ref, instances)
        except RefusedError as error:
            benchmark.refuse(item, error.field, error.value, error.reason, lost=_asked(entry))
    return benchmark


def _asked(entry: Any) -> int:
    """How many questions are lost with a ref: 1 where it does not say."""
    sentences = entry.get("sentences") if isinstance(entry, dict) else None
    return len(sentences) if isinstance(sentences, list) else 1


def _instances(benchmark: Benchmark, path: Path) -> Instances:
    """What a ref may name; a broken row costs no question until a ref names it."""
    raw = read_json(path)
    for name in ("images", "annotations"):
        if not isinstance(raw, dict) or not isinstance(raw.get(name), list):
            raise UserError(f"{path}: no COCO annotations: expected a list under {name!r}; fetch the refer data again")
    told = raw.get("categories")
    images, annotations, categories = (
        keyed(benchmark, rows, what, lost=0)
        for what, rows in (
            ("image", raw["images"]),
            ("annotation", raw["annotations"]),
            ("category", told if isinstance(told, list) else []),
        )
    )
    sound = {number: row for number, row in annotations.items() if _has_ids(benchmark, number, row)}
    alike = Counter((row["image_id"], row["category_id"]) for row in sound.values())
    return Instances(images, sound, set(categories), alike)


def _has_ids(benchmark: Benchmark, number: int, row: dict[str, Any]) -> bool:
    """Whether an annotation names its image and, if any, its category; they become integers in place."""
    try:
        row["image_id"] = take(row, "image_id", identity)
        row["category_id"] = None if row.get("category_id") is None else take(row, "category_id", identity)
    except RefusedError as error:
        benchmark.refuse(f"annotation {number}", error.field, error.value, error.reason, lost=0)
        return False
    return True


def _ref(entry: Any) -> Ref:
    if not isinstance(entry, dict):
        raise RefusedError("ref", entry, "malformed ref (no dict)")
    try:
        ref_id, ann_id, image_id = (take(entry, name, identity) for name in ("ref_id", "ann_id", "image_id"))
        return Ref(ref_id, take(entry, "split", text), ann_id, image_id, take(entry, "sentences", items))
    except RefusedError as error:
        raise RefusedError("ref", error.value, f"malformed ref ({error})") from error


def _add(benchmark: Benchmark, folder: Path, ref: Ref, instances: Instances) -> None:
    """Add a ref's sentences; a broken one is refused alone."""
    annotation, image = _matched(ref, instances)
    path, size = _picture(folder, image)
    box, counts = region(annotation, size)
    if not ref.sentences:
        raise RefusedError("sentences", ref.sentences, "no sentence")
    distractors = instances.alike[annotation["image_id"], annotation["category_id"]] - 1
    truth = {"boxes": [box], "counts": [counts], "distractors": distractors}
    benchmark.images[path] = size
    for sentence in ref.sentences:
        try:
            number, words, kind = _sentence(sentence)
        except RefusedError as error:
            benchmark.refuse(f"ref {ref.ref_id}", error.field, error.value, error.reason)
            continue
        benchmark.add(Example(f"{ref.ref_id}_{number}", ref.split, path, size, words, kind, truth))


def _sentence(sentence: Any) -> tuple[int, str, str]:
    """A sentence's id, its text and its kind of expression."""
    if not isinstance(sentence, dict):
        raise RefusedError("sentence", sentence, "no dict")
    words = take(sentence, "sent", text)
    kind = take(sentence, "kind", text) if sentence.get("kind") else expression_kind(words)
    return take(sentence, "sent_id", identity), words, kind


def _matched(ref: Ref, instances: Instances) -> tuple[dict[str, Any], dict[str, Any]]:
    """The annotation and the image that a ref names, if they fit together."""
    annotation, image = instances.annotations.get(ref.ann_id), instances.images.get(ref.image_id)
    if annotation is None or image is None:
        missing = "ann_id" if annotation is None else "image_id"
        raise RefusedError(missing, getattr(ref, missing), "not in instances.json")
    if annotation["image_id"] != ref.image_id:
        raise RefusedError("ann_id", ref.ann_id, "of another image: instances.json of another release")
    if instances.categories and annotation["category_id"] not in instances.categories:
        raise RefusedError("category_id", annotation["category_id"], "unknown category_id")
    return annotation, image


def _picture(folder: Path, image: dict[str, Any]) -> tuple[str, tuple[int, int]]:
    """Where an image lies, relative to the benchmark's folder, and its (height, width) as annotated."""
    try:
        size = (take(image, "height", image_side), take(image, "width", image_side))
        name = take(image, "file_name", text)
    except RefusedError as error:
        raise RefusedError("image", error.value, f"malformed image ({error})") from error
    path = find_image(folder, [f"{place}/{name}".removeprefix("./") for place in IMAGE_FOLDERS])
    if path is None:
        other = OTHER_EDITION.fullmatch(Path(name).name)
        reason = "a name of COCO 2017; RefCOCO's images are of train2014" if other else "image is missing"
        raise RefusedError("file_name", name, reason)
    return path, size
