"""Damaged params, links, checksums and annotation files of benchmarks."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from mutations import EDITS, mutated
from PIL import Image

from ml.evaluation.benchmarks.absence import read_absence
from ml.evaluation.benchmarks.benchmark import Benchmark
from ml.evaluation.benchmarks.flickr30k import read_flickr30k
from ml.evaluation.benchmarks.lvis import read_lvis
from ml.evaluation.benchmarks.referring.plain_pickle import load_plain_pickle
from ml.evaluation.benchmarks.referring.refcoco import read_refcoco
from ml.evaluation.benchmarks.relevance import read_relevance
from ml.evaluation.benchmarks.vqa import read_vqa
from ml.masks import Masks
from ml.sa1b.sources.remote import read_links
from ml.workspace.settings import PRESETS, load

QUICK = settings(max_examples=700, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SIZE = (80, 100)
BOX, POLYGON = [10.0, 10.0, 30.0, 40.0], [[10, 10, 40, 10, 40, 50, 10, 50]]

pytestmark = pytest.mark.slow


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(path)


def refs(folder: Path) -> Path:
    """RefCOCO as the refer tools lay it out; the refs are what is damaged."""
    rows = [
        {"ref_id": n, "ann_id": n, "image_id": 1, "split": "val", "sentences": [{"sent_id": n, "sent": f"thing {n}"}]}
        for n in range(4)
    ]
    image = {"id": 1, "height": SIZE[0], "width": SIZE[1], "file_name": "1.jpg"}
    items = [{"id": n, "image_id": 1, "category_id": 1, "bbox": BOX, "segmentation": POLYGON} for n in range(4)]
    text = {"images": [image], "annotations": items, "categories": [{"id": 1}]}
    (folder / "refcoco").mkdir(parents=True)
    (folder / "refcoco" / "instances.json").write_text(json.dumps(text))
    picture(folder / "images" / "1.jpg")
    (path := folder / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps(rows, 2))
    return path


def instances(folder: Path) -> Path:
    return refs(folder).with_name("instances.json")


def export(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rows = [{"ref_id": n, "img_id": 1, "sent_id": n, "sent": f"thing, {n}", "bbox": BOX} for n in range(4)]
        picture(folder / "images" / "train2014" / "COCO_train2014_000000000001.jpg")
        path = folder / f"refcoco_unc_val.{suffix}"
        lines = [json.dumps(row) for row in rows]
        if suffix == "csv":
            cells = [[str(row["ref_id"]), "1", str(row["sent_id"]), f'"{row["sent"]}"', f'"{BOX}"'] for row in rows]
            lines = [",".join(rows[0]), *(",".join(row) for row in cells)]
        path.write_text("\n".join(lines) + "\n")
        return path

    return make


def lvis(folder: Path) -> Path:
    images = [
        {"id": n, "height": SIZE[0], "width": SIZE[1], "file_name": f"{n}.jpg", "neg_category_ids": [2]}
        | {"not_exhaustive_category_ids": [], "coco_url": f"http://x/val2017/{n}.jpg"}
        for n in (1, 2)
    ]
    items = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": BOX, "area": 1200.0, "segmentation": POLYGON} for n in (1, 2)
    ]
    categories = [{"id": n, "name": name, "frequency": "f"} for n, name in ((1, "cat"), (2, "dog"))]
    for image in images:
        picture(folder / "val2017" / image["file_name"])
    (path := folder / "lvis_v1_val.json").write_text(
        json.dumps({"images": images, "annotations": items, "categories": categories})
    )
    return path


def vqa(part: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        asked = [{"question_id": n, "image_id": 1, "question": "what is it?"} for n in range(3)]
        answers = {"answers": [{"answer": "a cat"}] * 10, "multiple_choice_answer": "a cat", "answer_type": "other"}
        texts = {"questions": asked, "annotations": [{"question_id": n} | answers for n in range(3)]}
        for name, rows in texts.items():
            (folder / f"v2_val2014_{name}.json").write_text(json.dumps({name: rows}))
        picture(folder / "val2014" / "COCO_val2014_000000000001.jpg")
        return folder / f"v2_val2014_{part}.json"

    return make


def relevance(folder: Path) -> Path:
    dense = np.zeros((1, *SIZE), bool)
    dense[0, 10:50, 10:40] = True
    mask = {"counts": Masks.from_dense(dense).to_strings()[0], "size": list(SIZE), "level": "object", "parent": -1}
    row = {"file_name": "1.jpg", "image_id": 1, "masks": [mask]}
    row["queries"] = [{"text": "a cat", "kind": "attribute", "relevance": [1.0]}]
    picture(folder / "images" / "1.jpg")
    (path := folder / "relevance_val.jsonl").write_text(
        json.dumps(row) + "\n" + json.dumps(row | {"image_id": 2}) + "\n"
    )
    return path


def absence(folder: Path) -> Path:
    row = {"file_name": "1.jpg", "image_id": 1, "queries": [{"text": "a cat", "kind": "name", "present": False}]}
    picture(folder / "images" / "1.jpg")
    (path := folder / "absence_val.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"image_id": 2}) + "\n")
    return path


def flickr30k(part: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for name in ("Sentences", "Annotations"):
            (folder / name).mkdir()
        box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>40</xmax><ymax>60</ymax></bndbox>"
        size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></size>"
        xml = f"<annotation>{size}<object><name>1</name>{box}</object></annotation>"
        (folder / "Annotations" / "7.xml").write_text(xml)
        (folder / "Sentences" / "7.txt").write_text("[/EN#1/people A man] with [/EN#0/notvisual a dog] .\n")
        (folder / "test.txt").write_text("7\n")
        picture(folder / "flickr30k-images" / "7.jpg")
        return folder / {"xml": "Annotations/7.xml", "sentence": "Sentences/7.txt", "list": "test.txt"}[part]

    return make


CASES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], list[Benchmark]]]] = {
    "refs": (refs, read_refcoco),
    "instances": (instances, read_refcoco),
    "csv": (export("csv"), read_refcoco),
    "jsonl": (export("jsonl"), read_refcoco),
    "lvis": (lvis, read_lvis),
    "vqa questions": (vqa("questions"), read_vqa),
    "vqa annotations": (vqa("annotations"), read_vqa),
    "relevance": (relevance, read_relevance),
    "absence": (absence, read_absence),
    "flickr30k xml": (flickr30k("xml"), read_flickr30k),
    "flickr30k sentence": (flickr30k("sentence"), read_flickr30k),
    "flickr30k list": (flickr30k("list"), read_flickr30k),
}


def sound(benchmark: Benchmark, folder: Path) -> None:
    """What was taken is what a benchmark may hold."""
    ids = [example.query_id for example in benchmark.examples]
    assert len(set(ids)) == len(ids)
    for image in benchmark.images:
        assert (folder / image).resolve().is_relative_to(folder.resolve())
    for example in benchmark.examples:
        for box in example.truth.get("boxes", []):
            assert len(box) == 4 and np.isfinite(box).all() and min(box[2:]) > 0
    assert len(benchmark.rejected) == 0 or benchmark.lost >= 0
    assert all(len(reject.value) < 200 and len(reject.reason) < 300 for reject in benchmark.rejected)


@pytest.mark.parametrize("case", CASES)
def test_benchmarks(tmp_path: Path, taken, case: str) -> None:
    make, read = CASES[case]
    path = make(tmp_path)
    whole = path.read_bytes()
    questions = sum(len(benchmark.examples) for benchmark in read(tmp_path))
    assert questions > 0

    @QUICK
    @given(edits=EDITS)
    def damaged(edits: list) -> None:
        path.write_bytes(mutated(whole, edits))
        for benchmark in taken(lambda: read(tmp_path)) or []:
            sound(benchmark, tmp_path)

    damaged()


@QUICK
@given(edits=EDITS)
def test_pickles(tmp_path_factory: pytest.TempPathFactory, taken, edits: list) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.p"
    path.write_bytes(mutated(pickle.dumps([{"ref_id": 1, "sent": "a", "more": (1, {2}, b"x")}] * 3, 2), edits))
    taken(lambda: load_plain_pickle(path))


@QUICK
@given(edits=EDITS)
def test_params(tmp_path_factory: pytest.TempPathFactory, taken, edits: list) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.yaml"
    path.write_bytes(mutated((PRESETS / "smoke.yaml").read_bytes(), edits))
    found: Any = taken(lambda: load(path))
    assert found is None or found.model_dump(mode="json")


@QUICK
@given(edits=EDITS)
def test_links(tmp_path_factory: pytest.TempPathFactory, taken, edits: list) -> None:
    path = tmp_path_factory.getbasetemp() / "links.txt"
    lines = ["file_name\tcdn_link", *(f"sa_{n:06d}.tar\thttps://h/sa_{n:06d}.tar?Signature=SECRET" for n in range(5))]
    path.write_bytes(mutated("\n".join(lines).encode(), edits))
    found = taken(lambda: read_links(path))
    assert found is None or all(link.startswith("http") for link in found.values())
