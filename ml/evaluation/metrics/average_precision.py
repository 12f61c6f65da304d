"""Average precision of detections: COCO's, and LVIS's federated one, through faster-coco-eval.

LVIS (Gupta et al., 2019) counts a detection only where its category is annotated in the image, present or known to be
absent; where a category is not labelled to the last instance, unmatched detections are ignored. Two protocols:

    standard  at most 300 detections an image, over all categories
    fixed     at most 10,000 detections a category, over all images (Dave et al., 2021)

Categories are evaluated one by one, each on its own images: the reference walks every pair of image and category, of
which LVIS annotates one in a hundred.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval.core.faster_eval_api import COCOeval_faster
from numpy.typing import NDArray

Annotation = dict[str, Any]
Protocol = Literal["standard", "fixed"]
PER_IMAGE, PER_CATEGORY = 300, 10_000  # detections that count: LVIS standard, LVIS fixed
COCO_PER_IMAGE = 100  # of a category
AREAS = {"s": 1, "m": 2, "l": 3}  # below 32 x 32 pixels, below 96 x 96, above; 0: all


@dataclass(frozen=True)
class Curves:
    """What was measured of K categories: -1 where one has no instance of a size.

    Attributes:
        categories: their ids.
        precision: float64 [10 IoUs, 101 recalls, K, 4 sizes].
        recall: float64 [10 IoUs, K, 4 sizes].
    """

    categories: list[int]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def lvis_dataset(
    images: dict[str, tuple[int, int]], categories: dict[int, str], truth: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """Truth as an LVIS data set.

    Args:
        images: image -> (height, width), of all images.
        categories: category id -> frequency (r, c or f).
        truth: a row for each annotated (image, category): image, category_id, exhaustive, boxes, counts, areas.
    """
    rows = {image: _image(number, images[image]) for number, image in enumerate(sorted(images), 1)}
    annotations: list[Annotation] = []
    for answer in truth:
        row, category = rows[answer["image"]], answer["category_id"]
        if not answer["boxes"]:
            row["neg_category_ids"].append(category)
        if not answer["exhaustive"]:
            row["not_exhaustive_category_ids"].append(category)
        annotations += _annotations(answer, row, len(annotations) + 1)
    named = [{"id": c, "name": str(c), "frequency": f} for c, f in sorted(categories.items())]
    return {"images": list(rows.values()), "annotations": annotations, "categories": named}


def _image(number: int, size: tuple[int, int]) -> dict[str, Any]:
    federated: dict[str, list[int]] = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    return {"id": number, "height": size[0], "width": size[1], **federated}


def _annotations(answer: dict[str, Any], image: dict[str, Any], first: int) -> list[Annotation]:
    size = [image["height"], image["width"]]
    shared = {"image_id": image["id"], "category_id": answer["category_id"], "iscrowd": 0}
    instances = zip(answer["boxes"], answer["counts"], answer["areas"], strict=True)
    return [
        {**shared, "id": number, "bbox": box, "area": area, "segmentation": {"size": size, "counts": counts}}
        for number, (box, counts, area) in enumerate(instances, first)
    ]


def lvis_ap(
    dataset: dict[str, Any], detections: Sequence[Annotation], kind: str, protocol: Protocol = "standard"
) -> dict[str, float]:
    """AP, AP50, AP75, APr/c/f, APs/m/l and AR as the official `lvis` has them: fractions, -1 without instances.

    Args:
        dataset: an LVIS data set.
        detections: {"image_id", "category_id", "bbox", "segmentation", "score"}, any number, in any order; of equals
            the first counts.
        kind: "bbox" or "segm".
    """
    group, most = ("image_id", PER_IMAGE) if protocol == "standard" else ("category_id", PER_CATEGORY)
    limited = best_of(detections, group, most)
    annotated = annotated_images(dataset)
    counted = [d for d in limited if d["image_id"] in annotated.get(d["category_id"], ())]
    curves = _curves(dataset, counted, kind, len(counted) or 1, federated=True)
    frequency = {category["id"]: category["frequency"] for category in dataset["categories"]}
    rarity = np.array([frequency[category] for category in curves.categories])
    by_frequency = {f"AP{f}": _mean(curves.precision[:, :, rarity == f, 0]) for f in "rcf"}
    return _summary(curves) | by_frequency


def coco_ap(dataset: dict[str, Any], detections: Sequence[Annotation], kind: str) -> dict[str, float]:
    """AP, AP50, AP75, APs/m/l and AR as pycocotools has them, crowds included: at most 100 detections a category.

    Args:
        dataset: a COCO data set, in which every image is annotated for every category.
        detections: as for `lvis_ap`.
        kind: "bbox" or "segm".
    """
    return _summary(_curves(dataset, detections, kind, COCO_PER_IMAGE, federated=False))


def annotated_images(dataset: dict[str, Any]) -> dict[int, set[int]]:
    """The images on which each category is annotated, as present or as absent: {category id: image ids}."""
    annotated = _images_of(dataset["annotations"])
    for image in dataset["images"]:
        for category in image["neg_category_ids"]:
            annotated[category].add(image["id"])
    return annotated


def _images_of(rows: Iterable[Annotation]) -> dict[int, set[int]]:
    images: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        images[row["category_id"]].add(row["image_id"])
    return images


def best_of(detections: Sequence[Annotation], key: str, most: int) -> list[Annotation]:
    """The `most` detections of each group with the highest scores; of equals the first."""
    groups: dict[int, list[Annotation]] = defaultdict(list)
    for detection in detections:
        groups[detection[key]].append(detection)
    ranked = (sorted(group, key=lambda d: d["score"], reverse=True)[:most] for group in groups.values())
    return [detection for group in ranked for detection in group]


def _curves(dataset: dict[str, Any], detections: Sequence[Annotation], kind: str, most: int, federated: bool) -> Curves:
    """The curves of every category that has instances, each from the images that hold or are said to hold it."""
    truth = COCO({**dataset, "annotations": [dict(annotation) for annotation in dataset["annotations"]]})
    found = truth.loadRes([of_kind(detection, kind) for detection in detections])
    present, claimed = _images_of(dataset["annotations"]), _images_of(detections)
    precision, recall = [np.zeros((10, 101, 0, 4))], [np.zeros((10, 0, 4))]
    for category in sorted(present):
        evaluation = COCOeval_faster(
            truth, found, kind, lvis_style=federated, rle_iou_max_workers=1, print_function=_quiet
        )
        evaluation.params.catIds = [category]
        evaluation.params.imgIds = sorted(present[category] | claimed[category])
        evaluation.params.maxDets = [most]
        evaluation.evaluate()
        evaluation.accumulate()
        precision.append(evaluation.eval["precision"][..., 0])
        recall.append(evaluation.eval["recall"][..., 0])
    return Curves(sorted(present), np.concatenate(precision, 2), np.concatenate(recall, 1))


def of_kind(detection: Annotation, kind: str) -> Annotation:
    """A detection without what belongs to the other kind: the size of a mask is its area, not its box's."""
    other = "segmentation" if kind == "bbox" else "bbox"
    return {name: value for name, value in detection.items() if name != other}


def _summary(curves: Curves) -> dict[str, float]:
    overall = curves.precision[..., 0]
    sizes = {f"AP{size}": _mean(curves.precision[..., index]) for size, index in AREAS.items()}
    means = {"AP": _mean(overall), "AP50": _mean(overall[0]), "AP75": _mean(overall[5])}
    return means | sizes | {"AR": _mean(curves.recall[..., 0])}


def _mean(values: NDArray[np.float64]) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0


def _quiet(*_: object) -> None:
    """faster-coco-eval reports its progress; stdout belongs to whoever called."""
