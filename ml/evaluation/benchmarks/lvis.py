"""LVIS v1 and v0.5 annotations: federated detection over a long tail of categories.

Gupta et al., "LVIS", 2019. An image is annotated for a few categories only: those with instances, those known to be
absent (`neg_category_ids`), and those not labelled to the last instance (`not_exhaustive_category_ids`). Every
category is asked of every image, since naming the annotated ones would give the answer away.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import Benchmark, Example, RefusedError, find_image, keyed, take
from ml.evaluation.benchmarks.regions import image_side, region
from ml.sa1b.reading.values import identity, items, number, read_lists, text

SPLIT = "val"


def category_text(name: str) -> str:
    """A category's name as a query: `car_(automobile)` becomes `car`, `baseball_bat` `baseball bat`."""
    return re.sub(r"\(.*?\)", "", name).replace("_", " ").strip()


def pair_id(image: str, query_id: str) -> str:
    """The id of a question that is asked of every image, at one image."""
    return f"{query_id}@{image}"


def read_lvis(folder: Path) -> list[Benchmark]:
    """The one `lvis*val*.json` of the folder: a question a category, truth for each annotated (category, image).

    Raises:
        UserError: no or several annotation files, or it is no LVIS file.
    """
    names = ("categories", "images", "annotations")
    raw = read_lists(_only_file(folder), names, "not an LVIS annotation file")
    benchmark = Benchmark("lvis")
    categories, images, annotations = (
        keyed(benchmark, rows, name) for rows, name in zip(raw, ("category", "image", "annotation"), strict=True)
    )
    frequencies = _ask(benchmark, categories)
    by_image = _by_image(benchmark, annotations, images, frequencies)
    for image_id, image in sorted(images.items()):
        try:
            _add_image(benchmark, folder, image_id, image, by_image[image_id], frequencies)
        except RefusedError as error:
            lost = 1 + len(by_image[image_id])
            benchmark.refuse(f"image {image_id}", error.field, error.value, error.reason, lost)
    return [benchmark]


def _only_file(folder: Path) -> Path:
    paths = sorted(folder.glob("lvis*val*.json"))
    if len(paths) != 1:
        found = ", ".join(path.name for path in paths[:3]) or "none"
        raise UserError(f"{folder}: expected one lvis_v1_val.json (or lvis_v0.5_val.json), found {found}")
    return paths[0]


def _ask(benchmark: Benchmark, categories: dict[int, Any]) -> dict[int, str]:
    """Ask every category of every image; category id -> frequency (f, c, r)."""
    frequencies = {}
    for category_id, category in sorted(categories.items()):
        try:
            words, frequency = take(category, "name", _words), take(category, "frequency", text)
        except RefusedError as error:
            benchmark.refuse(f"category {category_id}", error.field, error.value, error.reason)
            continue
        frequencies[category_id] = frequency
        benchmark.add(Example(str(category_id), SPLIT, "", None, words, frequency, {}))
    return frequencies


def _words(value: Any) -> str:
    return text(category_text(text(value)))


def _by_image(
    benchmark: Benchmark, annotations: dict[int, Any], images: dict[int, Any], categories: dict[int, str]
) -> dict[int, list[tuple[int, int, Any]]]:
    """Image id -> its annotations as (annotation id, category id, row), where both ids are known."""
    found = defaultdict(list)
    for number_, row in annotations.items():
        try:
            image_id, category_id = (
                _known(row, name, ids) for name, ids in (("image_id", images), ("category_id", categories))
            )
            found[image_id].append((number_, category_id, row))
        except RefusedError as error:
            benchmark.refuse(f"annotation {number_}", error.field, error.value, error.reason)
    return found


def _known(row: dict[str, Any], name: str, ids: dict[int, Any]) -> int:
    if (value := take(row, name, identity)) not in ids:
        raise RefusedError(name, value, f"unknown {name}")
    return int(value)


def _add_image(
    benchmark: Benchmark,
    folder: Path,
    image_id: int,
    image: dict[str, Any],
    annotations: list[tuple[int, int, Any]],
    categories: dict[int, str],
) -> None:
    size = (take(image, "height", image_side), take(image, "width", image_side))
    path = _find(folder, image)
    if path in benchmark.images:
        raise RefusedError("file_name", path, "the picture of another image, too")
    absent, loose = (
        _categories(benchmark, image_id, image, name, categories)
        for name in ("neg_category_ids", "not_exhaustive_category_ids")
    )
    benchmark.images[path] = size
    for category in sorted(absent & {category for _, category, _ in annotations}):
        benchmark.refuse(f"image {image_id}", "neg_category_ids", category, "annotated there, and said to be absent", 0)
    answers = {c: _answer(path, c, categories[c], c not in loose) for c in absent}
    for number_, category, row in annotations:
        try:
            (box, counts), area = region(row, size), take(row, "area", _area)
        except RefusedError as error:
            benchmark.refuse(f"annotation {number_}", error.field, error.value, error.reason)
            continue
        answer = answers.setdefault(category, _answer(path, category, categories[category], category not in loose))
        for name, value in (("boxes", box), ("counts", counts), ("areas", area)):
            answer[name].append(value)
    benchmark.answers += [answers[category] for category in sorted(answers)]


def _find(folder: Path, image: dict[str, Any]) -> str:
    """Where an image lies: v1 names its folder by `coco_url` alone."""
    url = Path(take(image, "coco_url", text) if image.get("coco_url") else "")
    named = take(image, "file_name", text) if image.get("file_name") else url.name
    candidates = [f"{url.parent.name}/{url.name}"] if url.name else []
    candidates += [f"{place}{name}" for name in (named, url.name) if name for place in ("images/", "")]
    path = find_image(folder, candidates)
    if path is None:
        raise RefusedError("file_name", named, "image is missing")
    return path


def _categories(
    benchmark: Benchmark, image_id: int, image: dict[str, Any], name: str, known: dict[int, str]
) -> set[int]:
    """The categories that an image names; those that are unknown are refused, each by itself."""
    found = set()
    for value in take(image, name, items):
        try:
            found.add(_known({"category_id": value}, "category_id", known))
        except RefusedError as error:
            benchmark.refuse(f"image {image_id}", name, value, error.reason)
    return found


def _area(value: Any) -> float:
    if (area := number(value)) <= 0:
        raise ValueError("no area")
    return area


def _answer(path: str, category_id: int, frequency: str, exhaustive: bool) -> dict[str, Any]:
    return {
        "query_id": pair_id(path, str(category_id)),
        "image": path,
        "category_id": category_id,
        "frequency": frequency,
        "exhaustive": exhaustive,
        "boxes": [],
        "counts": [],
        "areas": [],
    }
