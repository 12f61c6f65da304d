"""The mask index: one pass over a shard's headers and JSON members, a Parquet row a mask, and the rejects."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.atomic import atomic_path
from ml.errors import UserError
from ml.params import Quality
from ml.report import Report
from ml.sa1b import annotations, jpeg
from ml.sa1b.annotations import Image, Reject
from ml.sa1b.pictures import histograms
from ml.sa1b.tar import Member, walk

ROW_GROUP = 20_000  # masks; an image's never straddle two
SCHEMA = pa.schema(
    [
        ("image_id", pa.int64()),
        ("file_name", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("jpeg_offset", pa.int64()),
        ("jpeg_bytes", pa.int64()),
        ("mask_id", pa.int64()),
        ("counts", pa.string()),
        ("bbox", pa.list_(pa.float64())),
        ("area", pa.int64()),
        ("predicted_iou", pa.float64()),
        ("stability_score", pa.float64()),
        ("point_coords", pa.list_(pa.list_(pa.float64()))),
        ("crop_box", pa.list_(pa.float64())),
    ]
)
REJECTS = pa.schema(
    [
        ("member", pa.string()),
        ("image_id", pa.int64()),
        ("mask_id", pa.int64()),
        ("field", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
    ]
)
SHOWN_REJECTS = 50


@dataclass
class Tally:
    """What a pass over a shard has seen."""

    images: int = 0
    masks_present: int = 0
    masks: int = 0
    rejects: list[Reject] = field(default_factory=list)

    @property
    def masks_rejected(self) -> int:
        return self.masks_present - self.masks

    def fractions(self) -> dict[str, tuple[int, int]]:
        """Rejected and all, of images (and stray members) and of masks."""
        lost = len(self.rejects) - self.masks_rejected
        return {"images": (lost, lost + self.images), "masks": (self.masks_rejected, self.masks_present)}


def build_index(tar: Path, out: Path, rejects: Path, quality: Quality) -> Report:
    """Index a shard's masks into `out` and what is broken into `rejects` (schemas SCHEMA and REJECTS).

    Raises:
        UserError: the tar can't be read, or a larger fraction than `quality.max_reject_fraction` is broken.
    """
    tally = Tally()
    with atomic_path(out) as masks_file:
        _write(masks_file, tar, tally)
        with atomic_path(rejects) as rejects_file:  # stays when the shard is refused: it says why
            rows = [asdict(reject) for reject in tally.rejects]
            pq.write_table(pa.Table.from_pylist(rows, REJECTS), rejects_file, compression="zstd")
        _judge(tar, rejects, tally, quality)
    return _report(tar.stem, out, tally)


def _write(path: Path, tar: Path, tally: Tally) -> None:
    pending: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for rows in read_images(tar, tally):
            pending += rows
            if len(pending) >= ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(pending, SCHEMA))
                pending = []
        writer.write_table(pa.Table.from_pylist(pending, SCHEMA))


def read_images(tar: Path, tally: Tally) -> Iterator[list[dict[str, Any]]]:
    """The index rows of each image of a shard, in the order in which their pairs are complete.

    Raises:
        UserError: the tar can't be read.
    """
    try:
        with tar.open("rb", buffering=0) as file:
            seen: set[int] = set()
            for picture, text in _pairs(tar, tally):
                image = _read_image(file.fileno(), picture, text, seen)
                if isinstance(image, Reject):
                    tally.rejects.append(image)
                    continue
                seen.add(image.image_id)
                tally.images += 1
                tally.masks_present += image.present
                tally.masks += len(image.rows)
                tally.rejects += image.rejects
                yield [_place(row, image, picture) for row in image.rows]
    except OSError as error:
        raise UserError(f"{tar}: not readable ({error.strerror}); run sa1b_shards again") from error


def _place(row: dict[str, Any], image: Image, picture: Member) -> dict[str, Any]:
    where = {"jpeg_offset": picture.offset, "jpeg_bytes": picture.size}
    size = {"file_name": image.file_name, "width": image.width, "height": image.height}
    return {"image_id": image.image_id, **size, **where, **row}


def _pairs(tar: Path, tally: Tally) -> Iterator[tuple[Member, Member]]:
    """JPEG and JSON members of one name; whatever has no partner, or is neither, is rejected."""
    waiting: dict[tuple[str, str], Member] = {}
    names: set[str] = set()
    for member in walk(tar):
        stem, _, suffix = member.name.rpartition(".")
        fault = member.fault or _member_fault(member, suffix, names)
        names.add(member.name)
        if member.name.endswith("/") and not member.fault:
            continue
        if fault:
            tally.rejects.append(Reject(member.name, fault, value=f"at byte {member.offset}"))
            continue
        partner = waiting.pop((stem, "json" if suffix == "jpg" else "jpg"), None)
        if partner is None:
            waiting[stem, suffix] = member
        else:
            yield (member, partner) if suffix == "jpg" else (partner, member)
    for (_, suffix), member in waiting.items():
        partner_suffix = ".json" if suffix == "jpg" else ".jpg"
        tally.rejects.append(Reject(member.name, f"no {partner_suffix} of this name in the archive"))


def _member_fault(member: Member, suffix: str, names: set[str]) -> str:
    if member.name in names:
        return "a second member of this name"
    return "" if suffix in ("jpg", "json") else "neither .jpg nor .json"


def _read_image(fd: int, picture: Member, text: Member, seen: set[int]) -> Image | Reject:
    """One image's annotations, checked against its JPEG's header."""
    if text.size > annotations.MAX_BYTES:
        return Reject(text.name, f"a JSON of more than {annotations.MAX_BYTES} bytes", value=str(text.size))
    image = annotations.parse(os.pread(fd, text.size, text.offset), text.name)
    if isinstance(image, Reject):
        return image
    if image.image_id in seen:
        return Reject(text.name, "a second image with this id", "image.image_id", str(image.image_id))
    name = picture.name.rpartition("/")[2]
    if image.file_name != name:
        return Reject(text.name, f"not the member's name {name}", "image.file_name", image.file_name, image.image_id)
    header = jpeg.read_header(lambda at, length: os.pread(fd, length, picture.offset + at), picture.size)
    if isinstance(header, str):
        return Reject(picture.name, header, image_id=image.image_id)
    if (header.width, header.height) != (image.width, image.height):
        found = f"{image.width} x {image.height}, JPEG {header.width} x {header.height}"
        return Reject(text.name, "not the JPEG's width and height", "image.width", found, image.image_id)
    return image


def _judge(tar: Path, rejects: Path, tally: Tally, quality: Quality) -> None:
    limit = quality.max_reject_fraction
    for what, (lost, everything) in tally.fractions().items():
        if lost > limit * everything:
            reason, count = Counter(reject.reason for reject in tally.rejects).most_common(1)[0]
            raise UserError(
                f"{tar}: {lost} of {everything} {what} ({lost / everything:.1%}) are broken, {limit:.1%} are allowed; "
                f"most often: {reason} ({count}); see {rejects}, or raise quality.max_reject_fraction"
            )


def _report(shard: str, out: Path, tally: Tally) -> Report:
    columns = ["predicted_iou", "stability_score", "area", "width", "height"]
    table = pq.read_table(out, columns=columns).to_pandas()
    table["area"] = table["area"] / (table.pop("width") * table.pop("height"))
    row = {"shard": shard, "images": tally.images, "masks": tally.masks, "rejected": len(tally.rejects)}
    means = {f"mean {name}": round(float(value), 4) for name, value in table.mean().items()} if tally.masks else {}
    return Report(
        numbers={"images": tally.images, "masks": tally.masks, "rejected": len(tally.rejects)},
        tables={"shards": [{**row, **means}], "rejects": [asdict(item) for item in tally.rejects[:SHOWN_REJECTS]]},
        pictures={"masks": histograms({"indexed": {name: table[name].to_numpy() for name in table}})},
        rejected=dict(Counter(reject.reason for reject in tally.rejects)),
    )
