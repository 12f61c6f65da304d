"""COCO: `images/SHARD/sa_1.jpg`, and below `annotations` a JSON of the masks and one of the captions.

That is the layout that FiftyOne, CVAT and Datumaro open. A mask's category is its level, the one thing that is known of
every mask, so that the categories are the same four for any shards; what it shows is its attribute `phrase`. Readers
that know polygons alone (Label Studio's) take `boxes.json`: the same without run lengths.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ml.compute.pool import Pool
from ml.labeling.export.labelled import PLACE, SHAPES, Labelled, masks
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path

Entries = Iterator[dict[str, Any]]
CATEGORIES = {"part": 1, "object": 2, "group": 3, "scene": 4}


def write(ws: Workspace, shards: Sequence[str], out: Path, pool: Pool) -> None:
    """Write the images and annotations of all shards into the folder `out`."""
    for _ in pool.map(partial(write_images, ws, out), shards):
        pass
    found = {shard: Labelled.of(ws, shard) for shard in shards}
    levels = [{"id": number, "name": level, "supercategory": "mask"} for level, number in CATEGORIES.items()]
    arrays = {"images": images(found), "annotations": instances(found), "categories": levels}
    write_arrays(out / "annotations" / "instances_default.json", arrays)
    arrays = {"images": images(found), "annotations": boxes(found), "categories": levels}
    write_arrays(out / "boxes.json", arrays)
    arrays = {"images": images(found), "annotations": captions(found)}  # which in COCO have no categories
    write_arrays(out / "annotations" / "captions_default.json", arrays)


def write_images(ws: Workspace, out: Path, shard: str) -> None:
    """Write the JPEGs of a shard as they are in its tar, a folder a shard."""
    labelled, folder = Labelled.of(ws, shard), out / "images" / shard
    folder.mkdir(parents=True)
    for row in labelled.rows(PLACE):
        (folder / Path(row["file_name"]).name).write_bytes(labelled.jpeg(row))


def write_arrays(path: Path, arrays: Mapping[str, Iterable[Any]]) -> None:
    """Write a JSON object of arrays, an entry at a time."""
    with atomic_path(path) as tmp, tmp.open("w", encoding="utf-8") as file:
        for start, (name, entries) in zip("{" + "," * len(arrays), arrays.items(), strict=False):
            file.write(f"{start}\n{json.dumps(name)}: [")
            for number, entry in enumerate(entries):
                file.write(f"{',' if number else ''}\n{json.dumps(entry)}")
            file.write("\n]")
        file.write("\n}\n")


def images(found: Mapping[str, Labelled]) -> Entries:
    """COCO's entry of each image."""
    for shard, labelled in found.items():
        for row in labelled.rows(["image_id", "file_name", "width", "height"]):
            place = f"{shard}/{Path(row['file_name']).name}"
            yield {"id": row["image_id"], "file_name": place, "width": row["width"], "height": row["height"]}


def captions(found: Mapping[str, Labelled]) -> Entries:
    """COCO's entry of each image's caption."""
    rows = (row for labelled in found.values() for row in labelled.rows(["image_id", "caption"]))
    return ({"id": number, **row} for number, row in enumerate(rows, 1))


def instances(found: Mapping[str, Labelled]) -> Entries:
    """COCO's entry of each mask, with `score`, SAM's own estimate of its IoU, and attributes as CVAT has them."""
    rows = (row for labelled in found.values() for row in labelled.rows(["image_id", *SHAPES]))
    numbered = enumerate(((row, mask) for row in rows for mask in masks(row)), 1)
    for number, (row, mask) in numbered:
        parent = row["mask_ids"][mask["parent"]] if mask["parent"] >= 0 else -1
        yield {
            "id": number,
            "image_id": row["image_id"],
            "category_id": CATEGORIES[mask["level"]],
            **{name: mask[name] for name in ("segmentation", "bbox", "area")},
            "iscrowd": 0,
            "score": mask["predicted_iou"],
            "attributes": {name: mask[name] for name in ("phrase", "mask_id", "stability_score")} | {"parent": parent},
        }


def boxes(found: Mapping[str, Labelled]) -> Entries:
    """`instances` without their run lengths."""
    return ({name: value for name, value in entry.items() if name != "segmentation"} for entry in instances(found))
