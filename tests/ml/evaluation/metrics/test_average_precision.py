"""AP equals what the packages that define it say, to the last digit: ties, crowds, empty images, missing categories."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from ml.bench.evaluation import drawn, official_coco, official_lvis
from ml.evaluation.metrics.average_precision import PER_IMAGE, coco_ap, lvis_ap, lvis_dataset
from ml.masks import Masks

SIZE = (110, 130)
SAME = 1e-12
Dataset, Detections = dict[str, Any], list[dict[str, Any]]


def region(box: list[float]) -> dict[str, Any]:
    """A mask that fills a box but for its upper left quarter."""
    x, y, w, h = (int(v) for v in box)
    dense = np.zeros(SIZE, np.uint8, order="F")
    dense[y : y + h, x : x + w] = 1
    dense[y : y + h // 2, x : x + w // 2] = 0
    return {"size": list(SIZE), "counts": coco_mask.encode(dense)["counts"].decode()}


@st.composite
def scenes(draw: st.DrawFn, crowds: bool) -> tuple[Dataset, Detections]:
    """Up to four images, any of them empty; categories without instances or detections; scores that tie."""
    images, categories = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    place = st.tuples(st.integers(1, images), st.integers(1, categories))
    box = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 100), st.integers(1, 85))
    held = draw(st.lists(st.tuples(place, box, st.booleans()), max_size=10))
    moved = st.tuples(*[st.integers(-3, 3)] * 4)
    near = st.tuples(st.sampled_from(held), moved).map(
        lambda pair: (pair[0][0], [max(v, m, 1) for v, m in zip(np.add(pair[0][1], pair[1]), (0, 0, 1, 1))])  # noqa: B905
    )
    fresh = st.tuples(place, box)
    found = draw(st.lists(st.tuples(near | fresh if held else fresh, st.sampled_from([0.25, 0.5, 0.9])), max_size=16))
    annotations = [
        row(where, size) | {"id": n, "area": float(size[2] * size[3]), "iscrowd": int(crowds and crowd)}
        for n, (where, size, crowd) in enumerate(held, 1)
    ]
    present = {where for where, _, _ in held}
    pairs = [(i, c) for i in range(1, images + 1) for c in range(1, categories + 1)]
    absent = [pair for pair in pairs if pair not in present and draw(st.booleans())]
    loose = [pair for pair in pairs if draw(st.integers(0, 3)) == 0]
    rows = [
        {
            "id": i,
            "height": SIZE[0],
            "width": SIZE[1],
            "neg_category_ids": [c for image, c in absent if image == i],
            "not_exhaustive_category_ids": [c for image, c in loose if image == i],
        }
        for i in range(1, images + 1)
    ]
    named = [{"id": c, "name": str(c), "frequency": draw(st.sampled_from("rcf"))} for c in range(1, categories + 1)]
    dataset = {"images": rows, "annotations": annotations, "categories": named, "info": {}}
    return dataset, [row(where, size) | {"score": score} for (where, size), score in found]


def row(where: tuple[int, int], box: Any) -> dict[str, Any]:
    numbers = [float(v) for v in box]
    return {"image_id": where[0], "category_id": where[1], "bbox": numbers, "segmentation": region(numbers)}


def assert_same(ours: dict[str, float], official: dict[str, float]) -> None:
    assert set(ours) == set(official)
    for name, value in official.items():
        assert ours[name] == pytest.approx(value, abs=SAME), name


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@settings(max_examples=40, deadline=None)
@given(scene=scenes(crowds=True))
def test_coco_ap_is_pycocotools(scene: tuple[Dataset, Detections], kind: str) -> None:
    if scene[0]["annotations"] and scene[1]:  # pycocotools fails on an empty list
        assert_same(coco_ap(*scene, kind), official_coco(*deepcopy(scene), kind))


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@settings(max_examples=40, deadline=None)
@given(scene=scenes(crowds=False))
def test_lvis_ap_is_the_official_one(scene: tuple[Dataset, Detections], kind: str) -> None:
    pytest.importorskip("lvis", reason="the official package is installed by make env")
    if scene[0]["annotations"] and scene[1]:  # the official package fails on an empty list
        assert_same(lvis_ap(*scene, kind), official_lvis(*deepcopy(scene), kind))


def test_many_detections_are_limited_as_the_official_package_does() -> None:
    pytest.importorskip("lvis", reason="the official package is installed by make env")
    rng = np.random.default_rng(0)
    dataset, _ = drawn(rng, 3, 12)
    boxes = [annotation["bbox"] for annotation in dataset["annotations"]]
    detections = [
        {
            "image_id": int(rng.integers(1, 4)),
            "category_id": int(rng.integers(1, 13)),
            "bbox": np.abs(np.add(boxes[rng.integers(len(boxes))], rng.normal(0, 2, 4))).tolist(),
            "score": round(rng.random(), 1),
        }
        for _ in range(3 * 3 * PER_IMAGE)
    ]
    standard, fixed = (lvis_ap(dataset, detections, "bbox", protocol) for protocol in ("standard", "fixed"))
    assert_same(standard, official_lvis(deepcopy(dataset), deepcopy(detections), "bbox"))
    assert_same(fixed, official_lvis(deepcopy(dataset), deepcopy(detections), "bbox", most=-1))
    assert standard["AR"] < fixed["AR"]


def test_the_fixed_protocol_keeps_the_best_of_each_category(monkeypatch: pytest.MonkeyPatch) -> None:
    masks, other = random_masks(0, 1), random_masks(9, 1)
    truth = [answer("a", 1, masks), answer("b", 1, other)]
    dataset = lvis_dataset({"a": SIZE, "b": SIZE}, {1: "f"}, truth)
    found = [detection(2, 1, masks, 0.9), detection(1, 1, masks, 0.5), detection(2, 1, other, 0.4)]
    assert lvis_ap(dataset, found, "bbox", "fixed")["AR"] == 1
    monkeypatch.setattr("ml.evaluation.metrics.average_precision.PER_CATEGORY", 2)
    assert lvis_ap(dataset, found, "bbox", "fixed")["AR"] == 0.5


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_real_annotations_of_lvis_score_the_same(samples: Path, kind: str) -> None:
    pytest.importorskip("lvis", reason="the official package is installed by make env")
    dataset = json.loads((samples / "lvis" / "lvis_val_100.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in dataset["images"]}
    rng = np.random.default_rng(1)
    detections = []
    for annotation in dataset["annotations"]:
        height, width = sizes[annotation["image_id"]]
        x, y, w, h = annotation["bbox"]
        w, h = max(1.0, w * rng.uniform(0.7, 1.2)), max(1.0, h * rng.uniform(0.9, 1.1))
        polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        rle = coco_mask.merge(coco_mask.frPyObjects(polygon, height, width))
        known = annotation["category_id"] if rng.random() < 0.8 else int(rng.integers(1, 1231))
        shared = {"image_id": annotation["image_id"], "category_id": known, "score": round(rng.random(), 2)}
        mask = {"size": rle["size"], "counts": rle["counts"].decode()}
        detections.append({**shared, "bbox": [x, y, w, h], "segmentation": mask})
    ours = lvis_ap(dataset, detections, kind)
    assert_same(ours, official_lvis(deepcopy(dataset), deepcopy(detections), kind))
    assert 0.1 < ours["AP"] < 0.9 and ours["APr"] > -1


def random_masks(seed: int, n: int) -> Masks:
    rng = np.random.default_rng(seed)
    dense = np.zeros((n, *SIZE), bool)
    for mask in dense:
        y, x = rng.integers(0, 40), rng.integers(0, 50)
        mask[y : y + rng.integers(3, 20), x : x + rng.integers(3, 30)] = True
    return Masks.from_dense(dense)


def answer(image: str, category: int, masks: Masks, exhaustive: bool = True) -> dict[str, Any]:
    boxes, areas = masks.coco_boxes().tolist(), masks.areas().astype(float).tolist()
    shared = {"image": image, "category_id": category, "exhaustive": exhaustive}
    return shared | {"boxes": boxes, "counts": masks.to_strings(), "areas": areas}


def detection(image_id: int, category: int, masks: Masks, score: float) -> dict[str, Any]:
    mask = {"size": list(SIZE), "counts": masks.to_strings()[0]}
    box = masks.coco_boxes()[0].tolist()
    return {"image_id": image_id, "category_id": category, "bbox": box, "segmentation": mask, "score": score}


def test_only_annotated_categories_count() -> None:
    masks, other = random_masks(0, 1), random_masks(9, 1)
    truth = [answer("a", 1, masks), answer("b", 1, other)]
    right = [detection(1, 1, masks, 0.5), detection(2, 1, other, 0.5)]
    unknown, absent = detection(1, 2, other, 0.9), detection(3, 1, other, 0.9)

    def ap(*rows: dict[str, Any]) -> float:
        dataset = lvis_dataset(dict.fromkeys("abc", SIZE), {1: "f", 2: "f"}, [*truth, *rows])
        return lvis_ap(dataset, [*right, unknown, absent], "segm")["AP"]

    assert ap() == pytest.approx(1.0)  # category 1 is not annotated in image c, category 2 nowhere
    assert ap(answer("c", 1, masks.select([]))) < 1.0  # known to be absent from c: now a false positive


def test_what_is_not_exhaustive_is_not_punished() -> None:
    masks, other = random_masks(0, 1), random_masks(9, 1)
    found = [detection(1, 1, other, 0.9), detection(1, 1, masks, 0.5)]
    for exhaustive in (True, False):
        dataset = lvis_dataset({"a": SIZE}, {1: "f"}, [answer("a", 1, masks, exhaustive)])
        assert (lvis_ap(dataset, found, "bbox")["AP"] == pytest.approx(1.0)) is not exhaustive


def test_no_detections_score_zero_and_no_truth_nothing() -> None:
    dataset = lvis_dataset({"a": SIZE}, {1: "f"}, [answer("a", 1, random_masks(0, 1))])
    assert lvis_ap(dataset, [], "bbox")["AP"] == lvis_ap(dataset, [], "segm", "fixed")["AR"] == 0
    assert lvis_ap(lvis_dataset({"a": SIZE}, {1: "f"}, []), [], "bbox")["AP"] == -1
