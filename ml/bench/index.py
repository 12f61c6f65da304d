"""The mask index against what one would write with `tarfile` and `json`, on one shard."""

import json
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from pycocotools import mask as coco

from ml.bench.files import read_pair, write_shard
from ml.bench.measure import Row, rates, result, seconds
from ml.sa1b.shards.index import Tally, read_tables, write_masks

IMAGES = 200
REPEATS = 3


def bench(path: Path | None = None) -> dict[str, Any]:
    """Measure on a tar of SA-1B, or on copies of one JSON and its JPEG, or of a toytown scene at SA-1B's size.

    Raises:
        UserError: the file can't be read.
    """
    with TemporaryDirectory() as folder:
        tar = path if path and path.suffix == ".tar" else write_shard(Path(folder), read_pair(path), IMAGES)
        return result("index", measure(tar, Path(folder)))


def measure(tar: Path, folder: Path) -> list[Row]:
    """Images/s of reading alone, and with the Parquet file; the report costs a fixed 0.2 s a shard and is left out."""
    tally = Tally()
    write_masks(folder / "index.parquet", tar, tally)
    images = tally.images
    case = f"{images} images, {tar.stat().st_size / 1e6:.0f} MB"
    read = seconds(lambda: sum(map(len, read_tables(tar, Tally()))), REPEATS)
    whole = seconds(lambda: write_masks(folder / "index.parquet", tar, Tally()), REPEATS)
    loads = seconds(lambda: read_plainly(tar), REPEATS)
    same = seconds(lambda: index_plainly(tar, folder / "peer.parquet"), REPEATS)
    parses = "tarfile + json.load, nothing checked"
    works = "tarfile + json.load + pycocotools area, toBbox + pandas to_parquet"
    return [
        rates(f"read and check every mask, {case}", images / read, images / loads, parses, "images/s"),
        rates(f"index into Parquet, {case}", images / whole, images / same, works, "images/s"),
        rates(f"index into Parquet, {case}", images / whole, images / loads, parses, "images/s"),
    ]


def read_plainly(tar: Path) -> int:
    """Only load every JSON: the masks there are."""
    with tarfile.open(tar) as archive:
        members = (archive.extractfile(member) for member in archive if member.name.endswith(".json"))
        return sum(len(json.load(file)["annotations"]) for file in members if file is not None)


def index_plainly(tar: Path, out: Path) -> None:
    """The same table: every JSON loaded, areas and boxes checked, a row a mask, where each JPEG lies."""
    jpegs, rows = dict[str, tuple[int, int]](), list[dict[str, Any]]()
    with tarfile.open(tar) as archive:
        for member in archive:
            stem, _, suffix = member.name.rpartition(".")
            if suffix == "jpg":
                jpegs[stem] = member.offset_data, member.size
                continue
            file = archive.extractfile(member)
            assert file is not None
            raw = json.load(file)
            rles = [annotation["segmentation"] for annotation in raw["annotations"]]
            for annotation, area, box in zip(raw["annotations"], coco.area(rles), coco.toBbox(rles), strict=True):
                assert annotation["area"] == area
                assert max(abs(a - b) for a, b in zip(annotation["bbox"], box, strict=True)) <= 1
                rows.append({**raw["image"], **annotation, "segmentation": annotation["segmentation"]["counts"]})
    table = pd.DataFrame(rows)
    places = table["file_name"].str.removesuffix(".jpg").map(jpegs)
    table["jpeg_offset"], table["jpeg_bytes"] = places.str[0], places.str[1]
    table.to_parquet(out, compression="zstd")
