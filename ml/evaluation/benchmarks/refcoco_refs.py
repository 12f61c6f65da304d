"""RefCOCO, RefCOCO+ and RefCOCOg as the `refer` tools lay them out: `refs(<split_by>).p` beside `instances.json`."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import (
    IMAGE_FOLDERS,
    Benchmark,
    Example,
    RefusedError,
    check_box,
    find_image,
    to_counts,
)
from ml.evaluation.benchmarks.kinds import expression_kind
from ml.evaluation.benchmarks.plain_pickle import load_plain_pickle

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
    """An entry of `refs(<split_by>).p`; sentences are (id, text, kind of expression or None)."""

    ref_id: int
    split: str
    ann_id: int
    image_id: int
    sentences: list[tuple[int, str, Any]]


def read_refs(folder: Path, name: str, split_by: str, known_as: str) -> Benchmark:
    """The benchmark that refs and instances hold; rows that do not fit together are refused one by one.

    Raises:
        UserError: a file is not readable as a whole.
    """
    refs = load_plain_pickle(folder / name / f"refs({split_by}).p")
    if not isinstance(refs, list):
        raise UserError(f"{folder / name}/refs({split_by}).p: holds a {type(refs).__name__}; expected a list")
    instances, benchmark = _instances(folder / name / "instances.json"), Benchmark(known_as)
    for entry in refs:
        try:
            ref = _ref(entry)
        except RefusedError as error:
            benchmark.refuse("ref", error.field, error.value, error.reason)
            continue
        if ref.split == "train":
            continue
        try:
            _add(benchmark, folder, ref, instances)
        except RefusedError as error:
            benchmark.refuse(f"ref {ref.ref_id}", error.field, error.value, error.reason, lost=len(ref.sentences))
    return benchmark


def _instances(path: Path) -> Instances:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        images = {int(image["id"]): image for image in raw["images"]}
        annotations = {int(item["id"]): item for item in raw["annotations"]}
        categories = {int(category["id"]) for category in raw.get("categories", [])}
        alike = Counter((item.get("image_id"), item.get("category_id")) for item in annotations.values())
    except OSError as error:
        raise UserError(f"{path}: not readable: {error.strerror}; it comes with the refer data") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: no COCO annotations ({type(error).__name__}: {error})") from error
    return Instances(images, annotations, categories, alike)


def _ref(entry: Any) -> Ref:
    try:
        sentences = [(int(s["sent_id"]), str(s["sent"]).strip(), s.get("kind")) for s in entry["sentences"]]
        hash((entry["ann_id"], entry["image_id"]))  # a list is no id
        return Ref(entry["ref_id"], str(entry["split"]), entry["ann_id"], entry["image_id"], sentences)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RefusedError("ref", entry, f"malformed ref ({type(error).__name__}: {error})") from error


def _add(benchmark: Benchmark, folder: Path, ref: Ref, instances: Instances) -> None:
    """Add a ref's sentences; an empty one is refused alone."""
    annotation, image = _matched(ref, instances)
    path, size = _picture(folder, image)
    if problem := check_box(annotation.get("bbox"), size):
        raise RefusedError("bbox", annotation.get("bbox"), problem)
    try:
        counts = [to_counts(annotation.get("segmentation"), size)]
    except ValueError as error:
        raise RefusedError("segmentation", annotation.get("segmentation"), str(error)) from error
    distractors = instances.alike[annotation.get("image_id"), annotation.get("category_id")] - 1
    truth = {"boxes": [[float(v) for v in annotation["bbox"]]], "counts": counts, "distractors": distractors}
    benchmark.images[path] = size
    for sent_id, text, kind in ref.sentences:
        if not text:
            benchmark.refuse(f"sentence {sent_id}", "sent", text, "empty expression")
            continue
        kind = str(kind or expression_kind(text))
        benchmark.examples.append(Example(f"{ref.ref_id}_{sent_id}", ref.split, path, size, text, kind, truth))


def _matched(ref: Ref, instances: Instances) -> tuple[dict[str, Any], Any]:
    """The annotation and the image that a ref names, if they fit together."""
    annotation, image = instances.annotations.get(ref.ann_id), instances.images.get(ref.image_id)
    if annotation is None or image is None:
        missing = "ann_id" if annotation is None else "image_id"
        raise RefusedError(missing, getattr(ref, missing), "not in instances.json")
    if annotation.get("image_id") != ref.image_id:
        raise RefusedError("ann_id", ref.ann_id, "of another image: instances.json of another release")
    if instances.categories and annotation.get("category_id") not in instances.categories:
        raise RefusedError("category_id", annotation.get("category_id"), "unknown category_id")
    return annotation, image


def _picture(folder: Path, image: Any) -> tuple[str, tuple[int, int]]:
    """Where an image lies, relative to the benchmark's folder, and its (height, width) as annotated."""
    try:
        size, name = (int(image["height"]), int(image["width"])), str(image["file_name"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RefusedError("image", image, f"malformed image ({type(error).__name__}: {error})") from error
    path = find_image(folder, [f"{place}/{name}".removeprefix("./") for place in IMAGE_FOLDERS])
    if path is None:
        other = OTHER_EDITION.fullmatch(Path(name).name)
        reason = "a name of COCO 2017; RefCOCO's images are of train2014" if other else "image is missing"
        raise RefusedError("file_name", name, reason)
    return path, size
