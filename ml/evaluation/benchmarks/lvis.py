"""LVIS v1 and v0.5 annotations: federated detection over a long tail of categories.

Gupta et al., "LVIS", 2019. An image is annotated for a few categories only: those with instances, those known to be
absent (`neg_category_ids`), and those not labelled to the last instance (`not_exhaustive_category_ids`). Every
category is asked of every image, since naming the annotated ones would give the answer away.
"""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import Benchmark, Example, check_box, find_image, to_counts

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
    path, raw = _load(folder)
    benchmark = Benchmark("lvis")
    try:
        categories = {int(c["id"]): c for c in raw["categories"]}
        images = {int(i["id"]): i for i in raw["images"]}
        for category_id, category in sorted(categories.items()):
            text = category_text(category["name"])
            kind = str(category["frequency"])
            benchmark.examples.append(Example(str(category_id), SPLIT, "", None, text, kind, {}))
        by_image: dict[int, list[Any]] = defaultdict(list)
        for item in raw["annotations"]:
            _sort_annotation(benchmark, item, images, categories, by_image)
        for image_id, image in sorted(images.items()):
            _add_image(benchmark, folder, image, by_image[image_id], categories)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not an LVIS annotation file ({type(error).__name__}: {error})") from error
    return [benchmark]


def _load(folder: Path) -> tuple[Path, Any]:
    paths = sorted(folder.glob("lvis*val*.json"))
    if len(paths) != 1:
        found = ", ".join(path.name for path in paths) or "none"
        raise UserError(f"{folder}: expected one lvis_v1_val.json (or lvis_v0.5_val.json), found {found}")
    try:
        return paths[0], json.loads(paths[0].read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{paths[0]}: not readable as JSON ({error})") from error


def _sort_annotation(
    benchmark: Benchmark, item: Any, images: dict[int, Any], categories: dict[int, Any], by_image: dict[int, Any]
) -> None:
    for name, known in (("image_id", images), ("category_id", categories)):
        if item[name] not in known:
            return benchmark.refuse(f"annotation {item['id']}", name, item[name], f"unknown {name}")
    by_image[item["image_id"]].append(item)
    return None


def _add_image(
    benchmark: Benchmark, folder: Path, image: Any, annotations: list[Any], categories: dict[int, Any]
) -> None:
    url = Path(str(image.get("coco_url", "")))
    named = str(image.get("file_name") or url.name)
    candidates = [f"{url.parent.name}/{url.name}"] if url.name else []
    candidates += [f"{place}{name}" for name in (named, url.name) if name for place in ("images/", "")]
    path = find_image(folder, candidates)
    if path is None:
        lost = 1 + len(annotations)
        return benchmark.refuse(f"image {image['id']}", "file_name", named, "image is missing", lost)
    size = (int(image["height"]), int(image["width"]))
    benchmark.images[path] = size
    loose = set(image.get("not_exhaustive_category_ids", []))
    absent = image.get("neg_category_ids", [])
    for category in sorted(set(absent) - set(categories)):
        benchmark.refuse(f"image {image['id']}", "neg_category_ids", category, "unknown category_id")
    answers = {c: _answer(path, c, categories[c], c not in loose) for c in absent if c in categories}
    for item in annotations:
        category = item["category_id"]
        if problem := check_box(item.get("bbox"), size):
            benchmark.refuse(f"annotation {item['id']}", "bbox", item.get("bbox"), problem)
            continue
        try:
            counts = to_counts(item.get("segmentation"), size)
        except ValueError as error:
            benchmark.refuse(f"annotation {item['id']}", "segmentation", item.get("segmentation"), str(error))
            continue
        row = answers.setdefault(category, _answer(path, category, categories[category], category not in loose))
        row["boxes"].append([float(v) for v in item["bbox"]])
        row["counts"].append(counts)
        row["areas"].append(float(item["area"]))
    benchmark.answers += [answers[category] for category in sorted(answers)]
    return None


def _answer(path: str, category_id: int, category: Any, exhaustive: bool) -> dict[str, Any]:
    return {
        "query_id": pair_id(path, str(category_id)),
        "image": path,
        "category_id": category_id,
        "frequency": str(category["frequency"]),
        "exhaustive": exhaustive,
        "boxes": [],
        "counts": [],
        "areas": [],
    }
