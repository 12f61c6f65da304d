"""RefCOCO, RefCOCO+ and RefCOCOg: `refs(<split_by>).p` with `instances.json`, or CSV or JSONL exports of the splits.

Kazemzadeh et al., "ReferItGame", 2014; Yu et al., "Modeling Context in Referring Expressions", 2016. The pickles are
read by an unpickler that knows plain types only: unpickling anything else runs code of the file's author.
"""

import csv
import json
import pickle
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import Benchmark, Example, check_box, find_image, to_counts
from ml.evaluation.benchmarks.kinds import expression_kind

NAMES = ("refcoco", "refcoco+", "refcocog")
SPLIT_BYS = {
    "refcoco": ("unc", "google"),
    "refcoco+": ("unc",),
    "refcocog": ("umd", "google"),
}  # the usual first: it has the plain name
IMAGE_FOLDERS = ("images/train2014", "images/mscoco/images/train2014", "train2014", "images", ".")
COLUMNS = {"ref_id", "img_id", "sent_id", "sent", "bbox"}  # of an export
OTHER_EDITION = re.compile(r"\d{12}\.jpg")
MALFORMED = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
)


class PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, tuples, sets, text, bytes, numbers, booleans and None; refuses every class and function."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no plain type")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it names an outside object")


def load_plain_pickle(path: Path) -> Any:
    """The plain values in a pickle; strings of Python 2 are read as UTF-8.

    Raises:
        UserError: missing, malformed, or it holds anything but plain types; nothing of it has run.
    """
    try:
        with path.open("rb") as file:
            return PlainUnpickler(file, encoding="utf-8", errors="replace").load()
    except OSError as error:
        raise UserError(f"{path}: not readable: {error.strerror}") from error
    except MALFORMED as error:
        raise UserError(f"{path}: refused as a pickle of plain types: {error}; fetch it again") from error


def read_refcoco(folder: Path) -> list[Benchmark]:
    """Those of RefCOCO, RefCOCO+ and RefCOCOg that `folder` holds, in the layout of the `refer` tools or as CSV.

    Raises:
        UserError: none of them is there, one is there twice, or a file is broken as a whole.
    """
    _refuse_two_sources(folder)
    found = [
        _read_pickled(folder, name, split_by)
        for name in NAMES
        if (folder / name).is_dir()
        for split_by in _split_bys(folder, name)
    ]
    exported = [
        _read_exported(folder, name, split_by)
        for name in NAMES
        for split_by in SPLIT_BYS[name]
        if _exports(folder, name, split_by)
    ]
    if not found and not exported:
        raise UserError(
            f"{folder}: no refcoco/refs(unc).p, refcoco+/refs(unc).p, refcocog/refs(umd).p or export here; "
            "point params.benchmarks.refcoco at the folder that holds them"
        )
    return found + exported


def _refuse_two_sources(folder: Path) -> None:
    """Refs and an export of one benchmark would go by one name, and one would take the other's place."""
    for name in NAMES:
        for split_by in SPLIT_BYS[name]:
            pickled = folder / name / f"refs({split_by}).p"
            exports = _exports(folder, name, split_by)
            if exports and pickled.is_file():
                named = benchmark_name(name, split_by)
                raise UserError(f"{pickled} and {exports[0][1]} both hold {named}; expected one: move the other away")


def benchmark_name(name: str, split_by: str) -> str:
    """refcocog of umd is `refcocog`, of google `refcocog_google`: their splits differ, and so do their scores."""
    return name if split_by == SPLIT_BYS[name][0] else f"{name}_{split_by}"


def _split_bys(folder: Path, name: str) -> list[str]:
    present = [split_by for split_by in SPLIT_BYS[name] if (folder / name / f"refs({split_by}).p").is_file()]
    if not present:
        wanted = " or ".join(f"refs({split_by}).p" for split_by in SPLIT_BYS[name])
        found = ", ".join(sorted(path.name for path in (folder / name).glob("refs*.p"))) or "no refs"
        raise UserError(f"{folder / name}: found {found}, expected {wanted}; add it from the refer data")
    return present


def _read_pickled(folder: Path, name: str, split_by: str) -> Benchmark:
    refs = load_plain_pickle(folder / name / f"refs({split_by}).p")
    if not isinstance(refs, list):
        raise UserError(f"{folder / name}/refs({split_by}).p: holds a {type(refs).__name__}; expected a list")
    images, annotations, categories = _instances(folder / name / "instances.json")
    alike = Counter((item.get("image_id"), item.get("category_id")) for item in annotations.values())
    benchmark = Benchmark(benchmark_name(name, split_by))
    for ref in refs:
        _add_ref(benchmark, folder, ref, images, annotations, categories, alike)
    return benchmark


def _instances(path: Path) -> tuple[dict[int, Any], dict[int, Any], set[int]]:
    """Images and annotations by id, and the ids of the categories, none where the file does not say."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        images = {int(image["id"]): image for image in raw["images"]}
        categories = {int(category["id"]) for category in raw.get("categories", [])}
        return images, {int(item["id"]): item for item in raw["annotations"]}, categories
    except OSError as error:
        raise UserError(f"{path}: not readable: {error.strerror}; it comes with the refer data") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no COCO annotations ({type(error).__name__}: {error})") from error


def _add_ref(
    benchmark: Benchmark,
    folder: Path,
    ref: Any,
    images: dict[int, Any],
    annotations: dict[int, Any],
    categories: set[int],
    alike: Counter[tuple[int, int]],
) -> None:
    try:
        item, split = f"ref {ref['ref_id']}", str(ref["split"])
        sentences = [(int(s["sent_id"]), str(s["sent"]).strip(), s.get("kind")) for s in ref["sentences"]]
        annotation, image = annotations.get(ref["ann_id"]), images.get(ref["image_id"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return benchmark.refuse("ref", "ref", ref, f"malformed ref ({type(error).__name__}: {error})")
    if split == "train":
        return None
    refuse = partial(benchmark.refuse, item, lost=len(sentences))
    if annotation is None or image is None:
        missing = "ann_id" if annotation is None else "image_id"
        return refuse(missing, ref[missing], "not in instances.json")
    if annotation.get("image_id") != ref["image_id"]:
        return refuse("ann_id", ref["ann_id"], "of another image: instances.json of another release")
    if categories and annotation.get("category_id") not in categories:
        return refuse("category_id", annotation.get("category_id"), "unknown category_id")
    try:
        size, name = (int(image["height"]), int(image["width"])), str(image["file_name"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return refuse("image", image, f"malformed image ({type(error).__name__}: {error})")
    path = find_image(folder, [f"{place}/{name}".removeprefix("./") for place in IMAGE_FOLDERS])
    if path is None:
        other = OTHER_EDITION.fullmatch(Path(name).name)
        reason = "a name of COCO 2017; RefCOCO's images are of train2014" if other else "image is missing"
        return refuse("file_name", name, reason)
    if problem := check_box(annotation.get("bbox"), size):
        return refuse("bbox", annotation.get("bbox"), problem)
    try:
        counts = [to_counts(annotation.get("segmentation"), size)]
    except ValueError as error:
        return refuse("segmentation", annotation.get("segmentation"), str(error))
    distractors = alike[annotation.get("image_id"), annotation.get("category_id")] - 1
    truth = {"boxes": [[float(v) for v in annotation["bbox"]]], "counts": counts, "distractors": distractors}
    benchmark.images[path] = size
    for sent_id, text, kind in sentences:
        if not text:
            benchmark.refuse(f"sentence {sent_id}", "sent", text, "empty expression")
            continue
        query_id = f"{ref['ref_id']}_{sent_id}"
        kind = str(kind or expression_kind(text))
        benchmark.examples.append(Example(query_id, split, path, size, text, kind, truth))
    return None


def _exports(folder: Path, name: str, split_by: str) -> list[tuple[str, Path]]:
    """Exports of a benchmark as (split, path): `<name>_<split_by>_<split>.csv` or `.jsonl`."""
    start = f"{name}_{split_by}_"
    files = [path for suffix in ("csv", "jsonl") for path in sorted(folder.glob(f"{start}*.{suffix}"))]
    return [(path.stem.removeprefix(start), path) for path in files]


def _read_exported(folder: Path, name: str, split_by: str) -> Benchmark:
    benchmark = Benchmark(benchmark_name(name, split_by))
    for split, path in _exports(folder, name, split_by):
        for number, row in enumerate(_rows(path), 1):
            if missing := sorted(COLUMNS - set(row)):
                raise UserError(f"{path}: row {number}: no {missing[0]!r}; expected {', '.join(sorted(COLUMNS))}")
            if split != "train":
                _add_row(benchmark, folder, split, row)
    return benchmark


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV or JSONL file; in JSONL a box may be a list."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                yield from csv.DictReader(file)
            else:
                yield from (dict(json.loads(line)) for line in file if line.strip())
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not readable as {path.suffix[1:].upper()} ({error})") from error


def _add_row(benchmark: Benchmark, folder: Path, split: str, row: dict[str, Any]) -> None:
    item = f"{row['ref_id']}_{row['sent_id']}"
    try:
        box = [float(v) for v in (json.loads(row["bbox"]) if isinstance(row["bbox"], str) else row["bbox"])]
        name = f"COCO_train2014_{int(row['img_id']):012d}.jpg"
    except (ValueError, TypeError) as error:
        return benchmark.refuse(item, "row", row, f"malformed row ({error})")
    path = find_image(folder, [f"{place}/{name}".removeprefix("./") for place in IMAGE_FOLDERS])
    if path is None:
        return benchmark.refuse(item, "img_id", row["img_id"], "image is missing")
    if problem := check_box(box, None):
        return benchmark.refuse(item, "bbox", box, problem)
    text = str(row["sent"]).strip()
    if not text:
        return benchmark.refuse(item, "sent", row["sent"], "empty expression")
    benchmark.images.setdefault(path, None)
    truth = {"boxes": [box], "counts": []}
    benchmark.examples.append(Example(item, split, path, None, text, expression_kind(text), truth))
    return None
