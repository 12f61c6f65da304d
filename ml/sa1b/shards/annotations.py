"""One image's JSON of SA-1B, from bytes to checked values; whatever is wrong becomes a `Reject` with its field."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from ml.masks import MaskError, Masks

MAX_BYTES = 1 << 24  # of one JSON; real ones have 10 to 500 kB
MOST_MASKS = 100_000  # of one image; real ones have a few hundred
SHOWN = 80  # characters of a refused value
BOX_SLACK = 1.0  # pixels between a box and its mask's: SA-1B's convention and COCO's differ by one


@dataclass(frozen=True)
class Reject:
    """Why a member, an image or a mask is left out."""

    member: str
    reason: str
    field: str = ""
    value: str = ""
    image_id: int | None = None
    mask_id: int | None = None


@dataclass
class Image:
    """An image's checked values, its masks as rows (mask_id ... crop_box, the index's schema), and what was refused."""

    image_id: int
    width: int
    height: int
    file_name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    present: int = 0  # masks in the JSON, kept or rejected


def parse(data: bytes, member: str) -> Image | Reject:
    """Check one JSON; `Image.rejects` has the masks that are refused, a `Reject` refuses all of it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return Reject(member, "not UTF-8", value=shown(data[error.start : error.start + 8]))
    try:
        raw = from_json(data)
    except ValueError as error:
        return Reject(member, "not JSON", value=shown(str(error)))
    head = raw.get("image") if isinstance(raw, dict) else None
    if not isinstance(head, dict):
        return Reject(member, "missing" if head is None else "not an object", "image", shown(head))
    for key, check in IMAGE_FIELDS.items():
        if key not in head:
            return Reject(member, "missing", f"image.{key}")
        if fault := check(head[key]):
            return Reject(member, fault, f"image.{key}", shown(head[key]))
    image = Image(head["image_id"], head["width"], head["height"], head["file_name"])
    if not isinstance(raw.get("annotations"), list):
        return Reject(member, "not a list", "annotations", shown(raw.get("annotations")), image.image_id)
    image.present = len(raw["annotations"])
    if image.present > MOST_MASKS:
        return Reject(member, f"more than {MOST_MASKS} masks", "annotations", str(image.present), image.image_id)
    _read_masks(image, raw["annotations"], member)
    return image


def shown(value: object) -> str:
    """A value as a reject shows it."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _read_masks(image: Image, annotations: Sequence[Any], member: str) -> None:
    """Fill in the image's rows and rejects."""
    typed: list[Any] = []
    seen: set[int] = set()

    def refuse(reason: str, name: str, value: object, mask_id: object) -> None:
        known = mask_id if type(mask_id) is int and abs(mask_id) < 2**63 else None
        image.rejects.append(Reject(member, reason, name, shown(value), image.image_id, known))

    for annotation in annotations:
        fault = _fault(annotation, image, seen)
        if fault is None:
            seen.add(annotation["id"])
            typed.append(annotation)
        else:
            refuse(*fault, annotation.get("id") if isinstance(annotation, dict) else None)
    masks, reasons = _sift(image, [annotation["segmentation"]["counts"] for annotation in typed])
    measured = iter(zip(masks.areas().tolist(), masks.boxes().tolist(), strict=True)) if masks else iter(())
    for annotation, reason in zip(typed, reasons, strict=True):
        counts = annotation["segmentation"]["counts"]
        if reason:
            refuse(reason, "segmentation.counts", counts, annotation["id"])
            continue
        area, box = next(measured)
        if annotation["area"] != area:
            refuse("not the mask's area", "area", annotation["area"], annotation["id"])
        elif max(abs(a - b) for a, b in zip(annotation["bbox"], box, strict=True)) > BOX_SLACK:
            refuse("not the mask's box", "bbox", annotation["bbox"], annotation["id"])
        else:
            image.rows.append(_row(annotation, counts, area))


def _sift(image: Image, counts: list[str]) -> tuple[Masks | None, list[str]]:
    try:
        return Masks.sift(counts, (image.height, image.width))
    except MaskError as error:
        return None, [error.reason] * len(counts)


def _row(annotation: dict[str, Any], counts: str, area: int) -> dict[str, Any]:
    return {
        "mask_id": annotation["id"],
        "counts": counts,
        "bbox": annotation["bbox"],
        "area": area,
        "predicted_iou": annotation["predicted_iou"],
        "stability_score": annotation["stability_score"],
        "point_coords": annotation["point_coords"],
        "crop_box": annotation["crop_box"],
    }


def _fault(annotation: Any, image: Image, seen: set[int]) -> tuple[str, str, object] | None:
    """The reason, field and value that refuse an annotation; None if its fields are right."""
    if not isinstance(annotation, dict):
        return "not an object", "annotations", annotation
    for key, check in MASK_FIELDS.items():
        if key not in annotation:
            return "missing", key, None
        if fault := check(annotation[key]):
            return fault, key, annotation[key]
    if annotation["id"] in seen:
        return "a second mask with this id", "id", annotation["id"]
    size = annotation["segmentation"].get("size")
    if size != [image.height, image.width]:
        return "not the image's height and width", "segmentation.size", size
    return None


def _identity(value: Any) -> str:
    """An id goes into int64 columns, where -1 stands for none."""
    if type(value) is not int or abs(value) >= 2**63:
        return "not an integer of 64 bits"
    return "" if value >= 0 else "negative"


def _side(value: Any) -> str:
    return "" if type(value) is int and 0 < value < 2**16 else "not between 1 and 65535 pixels"


def _number(value: Any) -> str:
    if type(value) not in (int, float):
        return "not a number"
    return "" if abs(value) < 2**53 and math.isfinite(value) else "not finite"  # larger integers are no doubles


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and value else "not a text"


def _object(value: Any) -> str:
    if not isinstance(value, dict):
        return "not an object"
    return "" if "counts" in value else "without counts"


def _numbers(length: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, list) or len(value) != length:
            return f"not {length} numbers"
        return next((fault for item in value if (fault := _number(item))), "")

    return check


def _points(value: Any) -> str:
    if not isinstance(value, list):
        return "not a list of points"
    return next((fault for item in value if (fault := _pair(item))), "")


_pair = _numbers(2)
IMAGE_FIELDS = {"image_id": _identity, "width": _side, "height": _side, "file_name": _text}
MASK_FIELDS = {
    "id": _identity,
    "segmentation": _object,
    "bbox": _numbers(4),
    "area": _number,
    "predicted_iou": _number,
    "stability_score": _number,
    "point_coords": _points,
    "crop_box": _numbers(4),
}
