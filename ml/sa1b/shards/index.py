"""The mask index: one pass over a shard's headers and JSON members, a Parquet row a mask, and the rejects.

One pass is one file, however long: each step of it hands its columns to the next.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import UserError
from ml.params import Quality
from ml.sa1b.shards import annotations, jpeg
from ml.sa1b.shards.annotations import Image, Reject
from ml.sa1b.shards.damage import Damage
from ml.sa1b.shards.pictures import histograms
from ml.sa1b.shards.scan import Columns, Texts, scan
from ml.sa1b.shards.table import REJECTS, SCHEMA
from ml.sa1b.shards.tar import Member, taken, tar_fault, walk
from ml.workspace.atomic import atomic_path
from ml.workspace.report import Report

BATCH = 1 << 22  # bytes of JSON that are read and scanned at once
ROW_GROUP = 20_000  # masks; an image's never straddle two
SHOWN_REJECTS = 50
AGAIN = "run sa1b_shards for it again, or replace it at its source"
APPLE = "what macOS adds to archives, no image"
NUMBERED = re.compile(r"sa_([0-9]{1,18})\.jpg")  # SA-1B's own names; others may have any number


@dataclass
class Tally:
    """What a pass over a shard has seen. `strays`: rejects that are no image, and lose none."""

    images: int = 0
    masks_present: int = 0
    masks: int = 0
    strays: int = 0
    rejects: list[Reject] = field(default_factory=list)

    @property
    def masks_rejected(self) -> int:
        """Broken masks of the images that are indexed."""
        return self.masks_present - self.masks

    def fractions(self) -> dict[str, tuple[int, int]]:
        """Rejected and all, of images and of masks."""
        lost = len(self.rejects) - self.masks_rejected - self.strays
        return {"images": (lost, lost + self.images), "masks": (self.masks_rejected, self.masks_present)}


class Pair(NamedTuple):
    """The members of an image."""

    picture: Member
    text: Member


def build_index(tar: Path, out: Path, rejects: Path, quality: Quality) -> Report:
    """Index a shard's masks into `out` and what is broken into `rejects` (schemas SCHEMA and REJECTS).

    Raises:
        UserError: the tar can't be read, or a larger fraction than `quality.max_reject_fraction` is broken.
    """
    tally = Tally()
    with atomic_path(out) as masks_file:
        write_masks(masks_file, tar, tally)
        with atomic_path(rejects) as rejects_file:  # stays when the shard is refused: it says why
            rows = [asdict(reject) for reject in tally.rejects]
            pq.write_table(pa.Table.from_pylist(rows, REJECTS), rejects_file, compression="zstd")
        _judge(tar, rejects, tally, quality)
    return _report(tar.stem, out, tally)


def write_masks(path: Path, tar: Path, tally: Tally) -> None:
    """Write the rows of a shard's masks, and add up in `tally` what was seen.

    Raises:
        UserError: the tar can't be read.
    """
    pending = [SCHEMA.empty_table()]
    # Only what all masks of an image share repeats, and only by that are rows ever looked for.
    columns = SCHEMA.names[: SCHEMA.names.index("mask_id")]
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": columns, "write_statistics": columns}
    with pq.ParquetWriter(path, SCHEMA, **options) as writer:
        for table in read_tables(tar, tally):
            pending.append(table)
            if sum(map(len, pending)) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(pending))
                pending = [SCHEMA.empty_table()]
        writer.write_table(pa.concat_tables(pending))


def read_tables(tar: Path, tally: Tally) -> Iterator[pa.Table]:
    """The index rows of a shard, a batch of images at a time, in the order in which their pairs are complete.

    Raises:
        UserError: the tar can't be read.
    """
    try:
        with tar.open("rb", buffering=0) as file:
            seen: set[int] = set()
            for pairs in _batches(_pairs(tar, tally), tally):
                texts = _read_texts(file.fileno(), pairs)
                found = scan(texts)
                images = [
                    _read_image(file.fileno(), pair, image or annotations.parse(texts[number], pair.text.name), seen)
                    for number, (pair, image) in enumerate(zip(pairs, _scanned(texts, found), strict=True))
                ]
                _count(images, found, tally)
                yield _table(pairs, images, found)
    except OSError as error:
        raise UserError(f"{tar}: not readable ({error.strerror}); run sa1b_shards again") from error


def _batches(pairs: Iterator[Pair], tally: Tally) -> Iterator[list[Pair]]:
    """Pairs with up to BATCH bytes of JSON, or one with more; a JSON that is far too large is rejected."""
    batch, size = list[Pair](), 0
    for pair in pairs:
        if pair.text.size > annotations.MAX_BYTES:
            reason = f"a JSON of more than {annotations.MAX_BYTES} bytes"
            tally.rejects.append(Reject(pair.text.name, reason, value=str(pair.text.size)))
            continue
        if batch and size + pair.text.size > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(pair)
        size += pair.text.size
    if batch:
        yield batch


def _read_texts(fd: int, pairs: Sequence[Pair]) -> Texts:
    bounds = np.cumsum([1, *(pair.text.size + 1 for pair in pairs)], dtype=np.uint64)
    data = np.zeros(int(bounds[-1]), np.uint8)
    for pair, start in zip(pairs, bounds.tolist(), strict=False):
        os.preadv(fd, [data[start : start + pair.text.size].data], pair.text.offset)
    return Texts(data, bounds)


def _scanned(texts: Texts, found: Columns) -> list[Image | None]:
    """What the scan has read of each image; None: it is left to the careful parser."""
    names = [texts.data[start:end].tobytes().decode("ascii") for start, end in found.names.tolist()]
    images = zip(found.heads.tolist(), names, np.diff(found.rows).tolist(), found.understood.tolist(), strict=True)
    return [
        Image(image_id, width, height, name, present=count) if understood else None
        for (image_id, width, height), name, count, understood in images
    ]


def _count(images: Sequence[Image | Reject], found: Columns, tally: Tally) -> None:
    for image, understood in zip(images, found.understood.tolist(), strict=True):
        if isinstance(image, Reject):
            tally.rejects.append(image)
            continue
        tally.images += 1
        tally.masks_present += image.present
        tally.masks += image.present if understood else len(image.rows)
        tally.rejects += image.rejects


def _table(pairs: Sequence[Pair], images: Sequence[Image | Reject], found: Columns) -> pa.Table:
    """The rows of a batch: usually those of the scan, as they are."""
    scanned = _scanned_table(pairs, found)
    if found.understood.all() and not any(isinstance(image, Reject) for image in images):
        return scanned
    pieces = [SCHEMA.empty_table()]
    for number, (pair, image) in enumerate(zip(pairs, images, strict=True)):
        if isinstance(image, Image) and found.understood[number]:
            pieces.append(scanned.slice(found.rows[number], image.present))
        elif isinstance(image, Image):
            pieces.append(_parsed_table(pair, image))
    return pa.concat_tables(pieces).combine_chunks()


def _parsed_table(pair: Pair, image: Image) -> pa.Table:
    where = {"jpeg_offset": pair.picture.offset, "jpeg_bytes": pair.picture.size}
    size = {"file_name": image.file_name, "width": image.width, "height": image.height}
    shared = {"image_id": image.image_id, **size, **where}
    return pa.Table.from_pylist([{**shared, **row} for row in image.rows], SCHEMA)


def _scanned_table(pairs: Sequence[Pair], found: Columns) -> pa.Table:
    image = np.repeat(np.arange(len(pairs)), np.diff(found.rows))
    pictures = [pair.picture for pair in pairs]
    points = pa.ListArray.from_arrays(found.point_ends, _lists(found.points, 2))
    columns = {
        "image_id": found.heads[image, 0],
        "file_name": pa.array([picture.name.rpartition("/")[2] for picture in pictures], pa.string()).take(image),
        "width": found.heads[image, 1],
        "height": found.heads[image, 2],
        "jpeg_offset": np.array([picture.offset for picture in pictures], np.int64)[image],
        "jpeg_bytes": np.array([picture.size for picture in pictures], np.int64)[image],
        "mask_id": found.ids,
        "counts": pa.StringArray.from_buffers(len(image), pa.py_buffer(found.text_ends), pa.py_buffer(found.text)),
        "bbox": _lists(found.boxes, 4),
        "area": found.areas,
        "predicted_iou": found.ious,
        "stability_score": found.stabilities,
        "point_coords": points,
        "crop_box": _lists(found.crops, 4),
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], SCHEMA)


def _lists(values: np.ndarray, length: int) -> pa.ListArray:
    """float64 [n * length] as n lists."""
    return pa.ListArray.from_arrays(np.arange(0, len(values) + 1, length, dtype=np.int32), values)


def _pairs(tar: Path, tally: Tally) -> Iterator[Pair]:
    """JPEG and JSON members of one name; whatever has no partner, or is neither, is rejected.

    Raises:
        UserError: the archive is cut, or is none: nothing tells how many images are lost.
    """
    waiting: dict[tuple[str, str], Member] = {}
    names, damage, pairs, size = set[str](), Damage(), 0, 0
    for member in walk(tar):
        damage.pass_by(member)
        if not member.name and not member.size:
            raise UserError(f"{tar}: {member.fault}; {AGAIN}")
        if not member.name:
            continue
        stem, _, suffix = member.name.rpartition(".")
        fault = member.fault or _member_fault(member, suffix, names)
        names.add(member.name)
        if member.name.endswith("/") and not member.fault:
            continue
        if fault:
            tally.strays += fault == APPLE
            tally.rejects.append(Reject(member.name, fault, value=f"at byte {member.offset}"))
            continue
        partner = waiting.pop((stem, "json" if suffix == "jpg" else "jpg"), None)
        if partner is None:
            waiting[stem, suffix] = member
            continue
        pairs, size = pairs + 1, size + taken(member) + taken(partner)
        yield Pair(member, partner) if suffix == "jpg" else Pair(partner, member)
    if damage.stretches and not names:
        raise UserError(f"{tar}: {tar_fault(tar)}; {AGAIN}")
    for (_, suffix), member in waiting.items():
        partner_suffix = ".json" if suffix == "jpg" else ".jpg"
        tally.rejects.append(Reject(member.name, f"no {partner_suffix} of this name in the archive"))
    tally.rejects += damage.lost({member.name for member in waiting.values()}, size / pairs if pairs else 0)


def _member_fault(member: Member, suffix: str, names: set[str]) -> str:
    if member.name.rpartition("/")[2].startswith("._"):
        return APPLE
    if member.name in names:
        return "a second member of this name"
    return "" if suffix in ("jpg", "json") else "neither .jpg nor .json"


def _read_image(fd: int, pair: Pair, image: Image | Reject, seen: set[int]) -> Image | Reject:
    """One image, checked against its JPEG's header and against those `seen` before, which it joins."""
    if isinstance(image, Reject):
        return image
    picture, text = pair
    if image.image_id in seen:
        return Reject(text.name, "a second image with this id", "image.image_id", str(image.image_id))
    name = picture.name.rpartition("/")[2]
    if image.file_name != name:
        return Reject(text.name, f"not the member's name {name}", "image.file_name", image.file_name, image.image_id)
    if (number := NUMBERED.fullmatch(name)) and int(number[1]) != image.image_id:
        found = str(image.image_id)
        return Reject(text.name, f"not the number in {name}", "image.image_id", found, image.image_id)
    header = jpeg.read_header(lambda at, length: os.pread(fd, length, picture.offset + at), picture.size)
    if isinstance(header, str):
        return Reject(picture.name, header, image_id=image.image_id)
    if (header.width, header.height) != (image.width, image.height):
        found = f"{image.width} x {image.height}, JPEG {header.width} x {header.height}"
        return Reject(text.name, "not the JPEG's width and height", "image.width", found, image.image_id)
    seen.add(image.image_id)
    return image


def _judge(tar: Path, rejects: Path, tally: Tally, quality: Quality) -> None:
    limit = quality.max_reject_fraction
    if not tally.images and not tally.rejects:
        raise UserError(f"{tar}: not one image in it; {AGAIN}")
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
