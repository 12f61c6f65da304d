"""RefCOCO, RefCOCO+ and RefCOCOg of the town, laid out as the `refer` tools distribute them, over the same images.

Split `heldout` of RefCOCO has the combinations of colour and kind that no training scene holds; split `ways` has
people's own ways to say which one, and tells what kind each is.
"""

import json
import pickle
import re
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ml.params import Params
from ml.toytown.files.annotations import CATEGORY, INFO, annotation, image_record, write_jpeg
from ml.toytown.world.draw import Drawing, draw
from ml.toytown.world.expressions import Expression, expressions, spoken
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.meaning import RELATIONS, Meaning
from ml.toytown.world.scene import HELD_OUT, Node, random_for, scene
from ml.toytown.world.ways import ways

SETS = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd"}
SPLITS = ("val", "testA", "testB", "heldout", "ways")
OWN = ("heldout", "ways")  # of RefCOCO alone
GOOGLE_SPLIT = {"val": "val", "testA": "test", "testB": "test"}
TARGETS, SENTENCES = 3, 3  # at most, an image and a target
_HEAD = re.compile(rf"^the (.+?) (?:{'|'.join(RELATIONS)}) ")


@dataclass
class Release:
    """The rows of the three sets as they are drawn."""

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    refs: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in SETS})
    sentences: int = 0


def write_refcoco(folder: Path, params: Params) -> None:
    """Write `params.toytown.refcoco_images` images a split, with their expressions, under `folder`."""
    release = Release()
    for split in SPLITS:
        drawn = 0
        for index in count():
            if drawn == params.toytown.refcoco_images:
                break
            drawing = draw(scene(params.seed, index, f"refcoco/{split}", holdout=split == "heldout"))
            drawn += _add_image(release, folder, drawing, split)
    categories = [
        {"id": number, "name": kind, "supercategory": KINDS[kind].flickr_type} for kind, number in CATEGORY.items()
    ]
    instances = {"info": INFO, "licenses": [], "images": release.images, "categories": categories}
    text = json.dumps({**instances, "annotations": release.annotations})  # the three sets share it
    for name, split_by in SETS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"refs({split_by}).p").write_bytes(pickle.dumps(release.refs[name], protocol=2))
        (folder / name / "instances.json").write_text(text, encoding="utf-8")


def _add_image(release: Release, folder: Path, drawing: Drawing, split: str) -> bool:
    """Add an image with its references; False where the split's kind of target is not in it."""
    rng = random_for(f"{drawing.scene.key}/refs")
    said = ways(drawing, rng) if split == "ways" else expressions(drawing)
    town = Meaning(drawing)
    objects = [node for node in town.nodes if node.level == "object"]
    fit = [node for node in objects if _suits(node, split) and _about(said, node)]
    if not fit:
        return False
    image_id = len(release.images) + 1
    file_name = f"COCO_train2014_{image_id:012d}.jpg"
    write_jpeg(folder / "images" / "train2014" / file_name, drawing)
    release.images.append(image_record(image_id, file_name))
    numbers = {node.id: len(release.annotations) + i for i, node in enumerate(objects, 1)}
    release.annotations += [annotation(drawing, node, number, image_id) for node, number in numbers.items()]
    for node in (fit[i] for i in rng.permutation(len(fit))[:TARGETS]):
        for name in SETS:
            _add_ref(release, name, split, town, node, _about(said, node), numbers[node.id], rng)
    return True


def _suits(node: Node, split: str) -> bool:
    """Whether a split asks for a node: testA for people, testB for all else, heldout for HELD_OUT, others for any."""
    if split == "heldout":
        return (node.colour, node.kind) in HELD_OUT
    return split in ("val", "ways") or (node.kind == "person") == (split == "testA")


def _about(said: list[Expression], node: Node) -> list[Expression]:
    return [e for e in said if e.targets == (node.id,)]


def _add_ref(
    release: Release,
    name: str,
    split: str,
    town: Meaning,
    node: Node,
    about: list[Expression],
    ann_id: int,
    rng: np.random.Generator,
) -> None:
    allowed = about if split == "ways" else _style(name, town, about)
    if not allowed or (name != "refcoco" and split in OWN):
        return
    refs = release.refs[name]
    sentences = []
    for expression, text in _chosen(allowed, rng).items():
        told = {"kind": expression.kind} if split == "ways" else {}
        sentences.append({"tokens": text.split(), "raw": text, "sent_id": release.sentences, "sent": text, **told})
        release.sentences += 1
    image = release.images[-1]
    refs.append(
        {
            "sent_ids": [sentence["sent_id"] for sentence in sentences],
            "file_name": f"{Path(image['file_name']).stem}_{ann_id}.jpg",
            "ann_id": ann_id,
            "ref_id": len(refs),
            "image_id": image["id"],
            "split": GOOGLE_SPLIT[split] if name == "refcocog" else split,
            "sentences": sentences,
            "category_id": CATEGORY[node.kind],
        }
    )


def _style(name: str, town: Meaning, about: list[Expression]) -> list[Expression]:
    """RefCOCO: as short as a game makes people speak; RefCOCO+: without place; RefCOCOg: long."""
    if name == "refcocog":
        return [e for e in about if len(e.text.split()) >= 7]
    brief = [e for e in about if e.kind != "relation" or len(town.of(_HEAD.match(e.text)[1])) > 1]  # type: ignore[index]
    return [e for e in brief if name == "refcoco" or not e.located]


def _chosen(allowed: list[Expression], rng: np.random.Generator) -> dict[Expression, str]:
    """Up to three different expressions as they are said, their kinds equally likely."""
    kinds = sorted({e.kind for e in allowed})
    pools = {kind: [e for e in allowed if e.kind == kind] for kind in kinds}
    picked: dict[Expression, str] = {}
    for _ in range(SENTENCES):
        pool = pools[kinds[rng.integers(len(kinds))]]
        expression = pool[rng.integers(len(pool))]
        picked[expression] = spoken(expression, rng)
    return picked
