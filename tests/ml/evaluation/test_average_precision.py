"""LVIS AP: equal to pycocotools where every category is annotated, and federated where not."""

import contextlib
import io
from copy import deepcopy

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ml.evaluation.average_precision import lvis_ap, lvis_dataset
from ml.masks import Masks

SIZE = (60, 80)
CATEGORIES = {1: "f", 2: "c", 3: "r"}


def random_masks(rng: np.random.Generator, n: int) -> Masks:
    dense = np.zeros((n, *SIZE), bool)
    for mask in dense:
        y, x = rng.integers(0, 40), rng.integers(0, 50)
        mask[y : y + rng.integers(3, 20), x : x + rng.integers(3, 30)] = True
    return Masks.from_dense(dense) if n else Masks.parse([], SIZE)


def answer(image: str, category: int, masks: Masks, exhaustive: bool = True) -> dict:
    boxes, areas = masks.coco_boxes().tolist(), masks.areas().astype(float).tolist()
    row = {"image": image, "category_id": category, "exhaustive": exhaustive}
    return row | {"boxes": boxes, "counts": masks.to_strings(), "areas": areas}


def detection(image_id: int, category: int, masks: Masks, i: int, score: float) -> dict:
    return {
        "image_id": image_id,
        "category_id": category,
        "bbox": masks.coco_boxes()[i].tolist(),
        "segmentation": {"size": list(SIZE), "counts": masks.to_strings()[i]},
        "score": score,
    }


def scene(seed: int) -> tuple[dict, list[dict]]:
    """Truth for three images in which all categories are annotated, and detections with ties, near truth and not."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for number, image in enumerate(("a", "b", "c"), 1):
        for category in CATEGORIES:
            masks = random_masks(rng, int(rng.integers(0, 4)))
            truth.append(answer(image, category, masks))
            others = random_masks(rng, 3)
            tied = [0.5, 0.25, 0.75, 0.9]
            found += [detection(number, category, masks, i, tied[rng.integers(4)]) for i in range(len(masks)) if i % 2]
            found += [detection(number, category, others, i, tied[rng.integers(4)]) for i in range(3)]
    return lvis_dataset(dict.fromkeys("abc", SIZE), CATEGORIES, truth), found


def reference(dataset: dict, found: list[dict], kind: str) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = deepcopy(dataset)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(deepcopy(found)), kind)
        evaluation.params.maxDets = [1, 10, 300]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # [T, R, K, A, M]

    def mean(chosen: np.ndarray) -> float:
        return float(chosen[chosen > -1].mean()) if (chosen > -1).any() else -1.0

    by_frequency = {f"AP{f}": mean(precision[:, :, [k], 0, -1]) for k, f in enumerate("fcr")}
    sizes = {f"AP{name}": mean(precision[..., a, -1]) for a, name in ((1, "s"), (2, "m"), (3, "l"))}
    return {"AP": mean(precision[..., 0, -1]), "AP50": mean(precision[0, ..., 0, -1]), **by_frequency, **sizes}


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(6))
def test_equals_pycocotools_where_all_is_annotated(seed: int, kind: str) -> None:
    dataset, found = scene(seed)
    ours = lvis_ap(dataset, found, kind)
    for name, value in reference(dataset, found, kind).items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


def test_only_annotated_categories_count() -> None:
    masks, other = random_masks(np.random.default_rng(0), 1), random_masks(np.random.default_rng(9), 1)
    truth = [answer("a", 1, masks), answer("b", 1, other)]
    right = [detection(1, 1, masks, 0, 0.5), detection(2, 1, other, 0, 0.5)]
    unknown, absent = detection(1, 2, other, 0, 0.9), detection(3, 1, other, 0, 0.9)

    def ap(*rows: dict) -> float:
        dataset = lvis_dataset(dict.fromkeys("abc", SIZE), {1: "f", 2: "f"}, [*truth, *rows])
        return lvis_ap(dataset, [*right, unknown, absent], "segm")["AP"]

    assert ap() == pytest.approx(1.0)  # category 1 is not annotated in image c, category 2 nowhere
    assert ap(answer("c", 1, masks.select([]))) < 1.0  # known to be absent from c: now a false positive


def test_what_is_not_exhaustive_is_not_punished() -> None:
    masks, other = random_masks(np.random.default_rng(0), 1), random_masks(np.random.default_rng(9), 1)
    found = [detection(1, 1, other, 0, 0.9), detection(1, 1, masks, 0, 0.5)]
    for exhaustive in (True, False):
        dataset = lvis_dataset({"a": SIZE}, {1: "f"}, [answer("a", 1, masks, exhaustive)])
        assert (lvis_ap(dataset, deepcopy(found), "bbox")["AP"] == pytest.approx(1.0)) is not exhaustive


def test_no_detections_score_zero_and_no_truth_nothing() -> None:
    masks = random_masks(np.random.default_rng(0), 1)
    assert lvis_ap(lvis_dataset({"a": SIZE}, {1: "f"}, [answer("a", 1, masks)]), [], "bbox")["AP"] == 0
    assert lvis_ap(lvis_dataset({"a": SIZE}, {1: "f"}, []), [], "bbox")["AP"] == -1
