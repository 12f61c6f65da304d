"""LVIS v1 of the town: polygons of every object, and the federated fields that say what was looked for."""

import json
from pathlib import Path
from typing import Any

from ml.params import Params
from ml.toytown.files.annotations import CATEGORY, INFO, annotation, write_jpeg
from ml.toytown.world.draw import Drawing, draw
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.scene import SIDE, random_for, scene

NEGATIVES = 3  # categories an image is known not to hold
UNFINISHED = 0.05  # of the categories with several instances, those that are not labelled to the last
FREQUENT, COMMON = 0.3, 0.2  # least share of images of frequencies f and c; real LVIS counts 100 and 10 images


def write_lvis(folder: Path, params: Params) -> None:
    """Write `params.toytown.lvis_images` images and `lvis_v1_val.json` under `folder`."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(params.toytown.lvis_images):
        drawing = draw(scene(params.seed, index, "lvis/val"))
        image_id = index + 1
        name = f"val2017/{image_id:012d}.jpg"
        write_jpeg(folder / name, drawing)
        image, found = _annotate(drawing, image_id, len(annotations) + 1)
        images.append({**image, "coco_url": f"http://images.cocodataset.org/{name}"})
        annotations += found
    categories = [_category(kind, annotations, len(images)) for kind in KINDS]
    lvis = {
        "info": INFO,
        "licenses": [],
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }
    (folder / "lvis_v1_val.json").write_text(json.dumps(lvis), encoding="utf-8")


def _annotate(drawing: Drawing, image_id: int, first: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The image's row and its annotations; of an unfinished category the last instance is left out."""
    rng = random_for(f"{drawing.scene.key}/lvis")
    objects = [node for node in Meaning(drawing).nodes if node.level == "object"]
    unfinished, left = [], []
    for kind in sorted({node.kind for node in objects}):
        of_kind = [node for node in objects if node.kind == kind]
        if len(of_kind) > 1 and rng.random() < UNFINISHED:
            unfinished.append(CATEGORY[kind])
            of_kind.pop()
        left += of_kind
    absent = sorted(CATEGORY[kind] for kind in set(KINDS) - {node.kind for node in objects})
    negative = sorted(int(absent[i]) for i in rng.permutation(len(absent))[:NEGATIVES])
    image = {
        "id": image_id,
        "width": SIDE,
        "height": SIDE,
        "neg_category_ids": negative,
        "not_exhaustive_category_ids": unfinished,
    }
    return image, [annotation(drawing, node.id, first + i, image_id) for i, node in enumerate(left)]


def _category(kind: str, annotations: list[dict[str, Any]], images: int) -> dict[str, Any]:
    instances = [item["image_id"] for item in annotations if item["category_id"] == CATEGORY[kind]]
    share = len(set(instances)) / images
    return {
        "id": CATEGORY[kind],
        "name": kind,
        "synset": f"{kind}.n.01",
        "synonyms": [kind],
        "def": f"a {kind} as the town draws it",
        "frequency": "f" if share >= FREQUENT else "c" if share >= COMMON else "r",
        "image_count": len(set(instances)),
        "instance_count": len(instances),
    }
