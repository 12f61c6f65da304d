"""The mask index: one pass over a shard's headers and JSON members, a Parquet row a mask, and the rejects."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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


class Indexed(NamedTuple):
    """An image with where its JPEG lies."""

    image: Image
    jpeg: Member


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
    pending: list[Indexed] = []
    # Run lengths do not repeat: a dictionary of them, or their least and greatest, would only cost time.
    columns = [name for name in SCHEMA.names if name != "counts"]
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": columns, "write_statistics": columns}
    with pq.ParquetWriter(path, SCHEMA, **options) as writer:
        for image in read_images(tar, tally):
            pending.append(image)
            if sum(item.image.kept for item in pending) >= ROW_GROUP:
                writer.write_table(as_table(pending))
                pending = []
        writer.write_table(as_table(pending))


def as_table(images: Sequence[Indexed]) -> pa.Table:
    """The index rows of images, in their order."""
    tables = [SCHEMA.empty_table()]
    for scanned, group in groupby(images, lambda item: item.image.scanned is not None):
        build = _scanned_table if scanned else _parsed_table
        tables.append(build(list(group)))
    return pa.concat_tables(tables).combine_chunks()


def _parsed_table(images: Sequence[Indexed]) -> pa.Table:
    rows = [{**_shared(item), **row} for item in images for row in item.image.rows]
    return pa.Table.from_pylist(rows, SCHEMA)


def _scanned_table(images: Sequence[Indexed]) -> pa.Table:
    scans = [item.image.scanned for item in images if item.image.scanned is not None]
    numbers = np.concatenate([scan.numbers for scan in scans])
    sizes = [len(scan) for scan in scans]
    text_ends = _running([scan.text_ends for scan in scans]).astype(np.int32)
    text = np.concatenate([scan.text for scan in scans])
    points = np.concatenate([scan.points for scan in scans])
    columns: dict[str, Any] = {
        name: np.repeat(np.array([_shared(item)[name] for item in images]), sizes)
        for name in SCHEMA.names[: SCHEMA.names.index("mask_id")]
    }
    columns |= {
        "mask_id": np.concatenate([scan.ids for scan in scans]),
        "counts": pa.StringArray.from_buffers(len(numbers), pa.py_buffer(text_ends), pa.py_buffer(text)),
        "bbox": _lists(numbers[:, :4]),
        "area": numbers[:, 8].astype(np.int64),
        "predicted_iou": numbers[:, 9],
        "stability_score": numbers[:, 10],
        "point_coords": pa.ListArray.from_arrays(
            _running([scan.point_ends for scan in scans]).astype(np.int32), _lists(points)
        ),
        "crop_box": _lists(numbers[:, 4:8]),
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], SCHEMA)


def _running(ends: Sequence[np.ndarray]) -> np.ndarray:
    """Ends within each image -> offsets [n + 1] over all of them."""
    starts = np.cumsum([0, *(int(end[-1]) if len(end) else 0 for end in ends)])
    shifted = [end + start for end, start in zip(ends, starts[:-1], strict=True)]
    return np.concatenate([[0], *shifted])


def _lists(rows: np.ndarray) -> pa.ListArray:
    """float64 [n, k] as n lists of k."""
    n, k = rows.shape
    return pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32) * k, np.ascontiguousarray(rows).reshape(-1))


def read_images(tar: Path, tally: Tally) -> Iterator[Indexed]:
    """The images of a shard, in the order in which their pairs are complete.

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
                tally.masks += image.kept
                tally.rejects += image.rejects
                yield Indexed(image, picture)
    except OSError as error:
        raise UserError(f"{tar}: not readable ({error.strerror}); run sa1b_shards again") from error


def _shared(item: Indexed) -> dict[str, Any]:
    """What all rows of an image have in common."""
    image, where = item.image, {"jpeg_offset": item.jpeg.offset, "jpeg_bytes": item.jpeg.size}
    size = {"file_name": image.file_name, "width": image.width, "height": image.height}
    return {"image_id": image.image_id, **size, **where}


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
    image = annotations.read(os.pread(fd, text.size, text.offset), text.name)
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
