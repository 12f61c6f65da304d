"""Every field of SA-1B's JSON, present, missing and wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_shards import record

from ml.sa1b.shards.annotations import Image, Reject, parse

SAMPLE = Path(__file__).resolve().parents[5] / "shared/samples/sa1b/sa_1.json"


def parsed(raw: object) -> Image | Reject:
    return parse(json.dumps(raw).encode(), "sa_1.json")


def test_a_good_image() -> None:
    image = parsed(record(1))
    assert isinstance(image, Image)
    assert [row["mask_id"] for row in image.rows] == [10, 11, 12]
    assert [row["area"] for row in image.rows] == [400, 42, 250]
    assert (image.present, image.rejects) == (3, [])


def test_real_sample() -> None:
    if not SAMPLE.exists():
        pytest.skip("the SA-1B sample files are not here")
    image = parse(SAMPLE.read_bytes(), "sa_1.json")
    assert isinstance(image, Image)
    assert (image.width, image.height, len(image.rows), image.rejects) == (1500, 2060, 65, [])
    assert max(row["predicted_iou"] for row in image.rows) > 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"image": "\xff"}', "not UTF-8"),
        (b"[]", "missing"),
        (b'{"image": 3}', "not an object"),
        (b'{"image": {}}', "missing"),
        (b'{"image": {"image_id": "1"}}', "not an integer of 64 bits"),
        (b'{"image": {"image_id": 1e3}}', "not an integer of 64 bits"),
        (b'{"image": {"image_id": 99999999999999999999}}', "not an integer of 64 bits"),
        (b'{"image": {"image_id": -1}}', "negative"),
        (b'{"image": {"image_id": 1, "width": 0}}', "not between 1 and 65535 pixels"),
        (b'{"image": {"image_id": 1, "width": 9, "height": 70000}}', "not between 1 and 65535 pixels"),
        (b'{"image": {"image_id": 1, "width": 9, "height": 9, "file_name": null}}', "not a text"),
        (b'{"image": {"image_id": 1, "width": 9, "height": 9, "file_name": "a"}}', "not a list"),
    ],
)
def test_an_image_is_refused(data: bytes, reason: str) -> None:
    refused = parse(data, "sa_1.json")
    assert isinstance(refused, Reject)
    assert refused.reason == reason


def put(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(mask: Any) -> None:
        for key in path[:-1]:
            mask = mask[key]
        mask[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        (lambda mask: mask.pop("area"), "area", "missing"),
        (lambda mask: mask.pop("stability_score"), "stability_score", "missing"),
        (lambda mask: mask["segmentation"].pop("counts"), "segmentation", "without counts"),
        (lambda mask: mask["segmentation"].pop("size"), "segmentation.size", "not the image's height and width"),
        (put("id", value="7"), "id", "not an integer of 64 bits"),
        (put("id", value=True), "id", "not an integer of 64 bits"),
        (put("id", value=2**63), "id", "not an integer of 64 bits"),
        (put("id", value=-1), "id", "negative"),
        (put("id", value=10), "id", "a second mask with this id"),
        (put("segmentation", value=[[1, 2, 3, 4]]), "segmentation", "not an object"),
        (put("segmentation", "size", value=[48, 32]), "segmentation.size", "not the image's height and width"),
        (put("segmentation", "size", value=[2**40, 2**40]), "segmentation.size", "not the image's height and width"),
        (put("segmentation", "counts", value=[3, 4]), "segmentation.counts", "counts is not a string"),
        (
            put("segmentation", "counts", value="1"),
            "segmentation.counts",
            "the run lengths do not sum to height x width",
        ),
        (put("bbox", value=[1, 2, 3]), "bbox", "not 4 numbers"),
        (put("bbox", 0, value=None), "bbox", "not a number"),
        (put("bbox", 0, value=30), "bbox", "not the mask's box"),
        (put("area", value=41), "area", "not the mask's area"),
        (put("predicted_iou", value=float("nan")), "predicted_iou", "not finite"),
        (put("predicted_iou", value=float("inf")), "predicted_iou", "not finite"),
        (put("predicted_iou", value=10**400), "predicted_iou", "not finite"),
        (put("predicted_iou", value="0.9"), "predicted_iou", "not a number"),
        (put("point_coords", value=[1.0, 2.0]), "point_coords", "not 2 numbers"),
        (put("point_coords", value={}), "point_coords", "not a list of points"),
        (put("crop_box", value=[0, 0, float("nan"), 1]), "crop_box", "not finite"),
    ],
)
def test_a_mask_is_refused_and_the_others_kept(change: Callable, field: str, reason: str) -> None:
    raw = record(1)
    change(raw["annotations"][1])
    image = parsed(raw)
    assert isinstance(image, Image)
    assert [row["mask_id"] for row in image.rows] == [10, 12]
    (reject,) = image.rejects
    assert (reject.field, reject.reason, reject.image_id) == (field, reason, 1)
    assert len(reject.value) <= 80


def test_an_annotation_that_is_no_object() -> None:
    image = parsed(record(1, [7]))  # type: ignore[list-item]
    assert isinstance(image, Image)
    assert [reject.reason for reject in image.rejects] == ["not an object"]


def test_integers_and_extra_keys_are_accepted() -> None:
    raw = record(1)
    raw["annotations"][0] |= {"crop_box": [0, 0, 48, 32], "predicted_iou": 1, "extra": None}
    image = parsed(raw)
    assert isinstance(image, Image)
    assert image.rejects == []
