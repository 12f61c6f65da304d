"""Damaged tars, JSONs and masks: nothing is lost in silence, nothing wrong is taken."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import EDITS, mutated
from pycocotools import mask as coco_mask
from tiny_shards import HEIGHT, WIDTH, annotation, pair, record, rectangle, write_tar

from ml.errors import UserError
from ml.masks import Masks
from ml.params import Quality
from ml.sa1b.shards import annotations
from ml.sa1b.shards.index import Tally, build_index, read_tables
from ml.sa1b.shards.scan import Texts, scan
from ml.sa1b.shards.whole import shard_fault

IMAGES = 5
QUICK = settings(max_examples=2500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
JSON = json.dumps(record(1)).encode()
COUNTS = annotation(rectangle(2, 3, 20, 20), 1)["segmentation"]["counts"].encode()

pytestmark = pytest.mark.slow


class Shard(bytes):
    """Bytes that a failing test does not print."""

    def __repr__(self) -> str:
        return f"<a shard of {len(self)} bytes>"


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    members = [member for number in range(1, IMAGES + 1) for member in pair(number)]
    tar = write_tar(tmp_path_factory.mktemp("hostile") / "a.tar", members)
    build_index(tar, tar.with_name("index"), tar.with_name("rejects"), Quality(max_reject_fraction=0))  # compiles
    return Shard(tar.read_bytes())


@QUICK
@given(edits=EDITS)
def test_tars(tmp_path_factory: pytest.TempPathFactory, taken, shard: Shard, edits: list) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile_tars"
    folder.mkdir(exist_ok=True)
    tar = folder / "a.tar"
    tar.write_bytes(mutated(shard, edits))
    taken(lambda: build_index(tar, folder / "a.parquet", folder / "a.rejects.parquet", Quality(max_reject_fraction=1)))
    tally = Tally()
    try:
        rows = [row for table in read_tables(tar, tally) for row in table.to_pylist()]
    except UserError:
        return
    images, masks = tally.fractions()["images"], tally.fractions()["masks"]
    assert len(rows) == tally.masks == masks[1] - masks[0]
    if not shard_fault(tar):  # else it would never have come this far
        assert images[1] >= len(stems(tar)), (images, tally.rejects)


def stems(tar: Path) -> set[str]:
    """The images of which the standard library finds a member: all that there are, where the end was not lost clean."""
    with tarfile.open(tar) as archive:
        return {info.name.rpartition(".")[0] for info in archive if info.name.endswith((".jpg", ".json"))}


@QUICK
@given(edits=EDITS)
def test_jsons(taken, edits: list) -> None:
    """What the compiled scan takes, the careful parser takes without a reject, with the same values."""
    data = mutated(JSON, edits)
    parsed = annotations.parse(data, "sa_1.json")
    found = scan(Texts.join([data]))
    if found.understood[0]:
        assert isinstance(parsed, annotations.Image) and not parsed.rejects
        assert found.ids.tolist() == [row["mask_id"] for row in parsed.rows]
        assert found.areas.tolist() == [row["area"] for row in parsed.rows]
        assert found.ious.tolist() == [row["predicted_iou"] for row in parsed.rows]
    if isinstance(parsed, annotations.Image):
        assert len(parsed.rows) + len(parsed.rejects) == parsed.present


@QUICK
@given(edits=EDITS, raw=st.binary(max_size=40))
def test_masks(edits: list, raw: bytes) -> None:
    """A string that is taken decodes as pycocotools decodes it, and fills the image."""
    for data in (mutated(COUNTS, edits), raw):
        text = data.decode("latin-1")
        masks, (reason,) = Masks.sift([text], (HEIGHT, WIDTH))
        if not reason:
            dense = coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": data})
            np.testing.assert_array_equal(masks.dense(0), dense.astype(bool))


def test_rubbish_of_every_size(tmp_path: Path, taken) -> None:
    for size in (0, 1, 511, 512, 513, 10240, 1 << 20):
        for byte in (b"\0", b"\xff", b"[", b"9"):
            tar = tmp_path / "a.tar"
            tar.write_bytes(byte * size)
            out = tmp_path / "a.parquet"
            read = lambda: build_index(tar, out, tmp_path / "b.parquet", Quality(max_reject_fraction=1))  # noqa: B023, E731
            assert taken(read) is None
            assert shard_fault(tar)
