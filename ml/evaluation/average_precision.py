"""LVIS average precision, federated, through faster-coco-eval.

Gupta et al., 2019: a detection counts only where its category is annotated in the image (present or known absent);
where a category is not labelled exhaustively, unmatched detections are ignored. Protocol "standard": at most 300
detections an image over all categories.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval.core.faster_eval_api import COCOeval_faster

NAMES = {
    "AP": "AP_all", "AP50": "AP_50", "AP75": "AP_75", "APr": "APr", "APc": "APc", "APf": "APf",
    "APs": "AP_small", "APm": "AP_medium", "APl": "AP_large", "AR": "AR_all",
}  # fmt: skip


def lvis_dataset(
    images: dict[str, tuple[int, int]], categories: dict[int, str], truth: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """Truth as an LVIS data set.

    Args:
        images: image -> (height, width), of all images.
        categories: category id -> frequency (r, c or f).
        truth: a row for each annotated (image, category): image, category_id, exhaustive, boxes, counts, areas.
    """
    ids = {image: number for number, image in enumerate(sorted(images), 1)}
    rows: dict[str, dict[str, Any]] = {
        image: {
            "id": ids[image],
            "height": size[0],
            "width": size[1],
            "neg_category_ids": [],
            "not_exhaustive_category_ids": [],
        }
        for image, size in images.items()
    }
    annotations: list[dict[str, Any]] = []
    for answer in truth:
        row, category = rows[answer["image"]], answer["category_id"]
        if not answer["boxes"]:
            row["neg_category_ids"].append(category)
        if not answer["exhaustive"]:
            row["not_exhaustive_category_ids"].append(category)
        for box, counts, area in zip(answer["boxes"], answer["counts"], answer["areas"], strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": row["id"],
                    "category_id": category,
                    "bbox": box,
                    "segmentation": {"size": [row["height"], row["width"]], "counts": counts},
                    "area": area,
                    "iscrowd": 0,
                }
            )
    named = [{"id": c, "name": str(c), "frequency": f} for c, f in sorted(categories.items())]
    return {"images": [rows[image] for image in sorted(rows)], "annotations": annotations, "categories": named}


def lvis_ap(dataset: dict[str, Any], detections: list[dict[str, Any]], kind: str) -> dict[str, float]:
    """AP over IoU 0.5:0.95 and its variants, as fractions; -1 where there is nothing to score.

    Args:
        dataset: an LVIS data set.
        detections: {"image_id", "category_id", "bbox", "segmentation", "score"}, at most 300 an image.
        kind: "bbox" or "segm".
    """
    detections = _annotated_only(dataset, detections)
    if not detections or not dataset["annotations"]:
        return dict.fromkeys(NAMES, 0.0 if dataset["annotations"] else -1.0)
    truth = COCO(dataset)
    evaluation = COCOeval_faster(truth, truth.loadRes(detections), kind, lvis_style=True, print_function=_quiet)
    evaluation.params.maxDets = [300]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    stats = evaluation.stats_as_dict
    return {name: float(np.float64(stats[theirs])) for name, theirs in NAMES.items()}


def _annotated_only(dataset: dict[str, Any], detections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Detections that count. faster-coco-eval drops the others itself, but fails on images without annotations."""
    pairs = {(a["image_id"], a["category_id"]) for a in dataset["annotations"]}
    pairs |= {(image["id"], category) for image in dataset["images"] for category in image["neg_category_ids"]}
    return [d for d in detections if (d["image_id"], d["category_id"]) in pairs]


def _quiet(*_: object) -> None:
    """faster-coco-eval reports its progress; stdout belongs to whoever called."""
