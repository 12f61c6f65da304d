"""The ARR-COC sample, read from a real shard and label rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tiny_shards import jpeg, rectangle

from ml.errors import UserError
from ml.masks import Frame
from ml.params import Quality
from ml.sa1b.reading.dataset import ARRCOCDataset, LazyMasks
from ml.sa1b.reading.frames import shown
from ml.sa1b.reading.padding import padded
from ml.sa1b.reading.reader import decode
from ml.sa1b.shards.index import build_index

QUERIES = {1: ["the left one", "the right one"], 2: [], 3: ["something"]}


@pytest.fixture
def labels(shard: Path) -> Path:
    """Label rows of a shard in two row groups, with as many queries as QUERIES says."""
    build_index(shard, shard.with_name("i.parquet"), shard.with_name("r.parquet"), Quality(max_reject_fraction=0))
    index = pq.read_table(shard.with_name("i.parquet")).to_pylist()
    out = []
    for image_id, texts in QUERIES.items():
        rows = [row for row in index if row["image_id"] == image_id]
        shared = {name: rows[0][name] for name in ("image_id", "width", "height", "jpeg_offset", "jpeg_bytes")}
        lists = {
            "mask_ids": [row["mask_id"] for row in rows],
            "counts": [row["counts"] for row in rows],
            "predicted_ious": [row["predicted_iou"] for row in rows],
            "stability_scores": [row["stability_score"] for row in rows],
            "queries": [{"text": text, "kind": "relation", "target": n} for n, text in enumerate(texts)],
            "relevance": [[n / 4, 0.5, 1.0] for n in range(len(texts))],
        }
        out.append({**shared, **lists})
    path = shard.with_name("labels.parquet")
    pq.write_table(pa.Table.from_pylist(out), path, row_group_size=2)
    return path


def test_a_sample_a_query(labels: Path, shard: Path) -> None:
    dataset = ARRCOCDataset([labels], [shard])
    assert [dataset[i]["text"] for i in range(len(dataset))] == ["the left one", "the right one", "something"]
    assert tuple(dataset.position(2)) == (0, 2, 0)


def test_the_sample_is_what_the_design_says(labels: Path, shard: Path) -> None:
    sample = ARRCOCDataset([labels], [shard])[1]
    assert torch.equal(sample["image"], torch.from_numpy(decode(jpeg(1))).permute(2, 0, 1))
    assert sample["relevance"].tolist() == [0.25, 0.5, 1.0]
    assert sample["metadata"]["mask_ids"] == [10, 11, 12]
    assert (sample["metadata"]["image_id"], sample["metadata"]["target"]) == (1, 1)
    masks = sample["masks"]
    assert len(masks) == 3
    assert torch.equal(masks[1], torch.from_numpy(rectangle(5, 6, 6, 7)))
    assert torch.equal(masks[-1], torch.from_numpy(rectangle(30, 4, 10, 25)))
    assert [mask.shape for mask in masks] == [(32, 48)] * 3
    assert masks.runs.coverage((4, 4), Frame(None, False, 64)).shape == (3, 4, 4)
    with pytest.raises(IndexError):
        masks[3]


def test_several_shards(labels: Path, shard: Path) -> None:
    dataset = ARRCOCDataset([labels, labels], [shard, shard])
    assert len(dataset) == 6
    assert tuple(dataset.position(5)) == (1, 2, 0)
    assert np.array_equal(dataset[4]["image"], dataset[1]["image"])
    with pytest.raises(IndexError):
        dataset[6]


def test_no_labels(tmp_path: Path, shard: Path) -> None:
    assert len(ARRCOCDataset([], [])) == 0
    with pytest.raises(UserError, match="run pseudo_labels"):
        ARRCOCDataset([tmp_path / "none.parquet"], [shard])
    with pytest.raises(UserError, match="1 label files for 0 tars"):
        ARRCOCDataset([tmp_path / "none.parquet"], [])


def test_in_sams_frame(labels: Path, shard: Path) -> None:
    """32 x 48 in a frame of 96: enlarged twice, padded below."""
    plain, framed = ARRCOCDataset([labels], [shard])[2], ARRCOCDataset([labels], [shard], side=96)[2]
    assert (framed["image"].shape, framed["image"].dtype) == ((3, 96, 96), torch.uint8)
    seen = shown(decode(jpeg(3)), Frame(None, False, 96), (32, 48)).numpy()
    assert (framed["image"].numpy() == padded(seen, 96)[:3]).all()
    dense = torch.zeros(3, 48, 48)
    dense[:, :32] = torch.stack([mask.float() for mask in framed["masks"]])
    assert torch.allclose(framed["coverage"], torch.nn.functional.avg_pool2d(dense, 8), atol=1e-6)
    assert "coverage" not in plain
    assert torch.equal(plain["relevance"], framed["relevance"]) and plain["metadata"] == framed["metadata"]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_read_the_same_bytes(labels: Path, shard: Path, workers: int) -> None:
    dataset = ARRCOCDataset([labels, labels], [shard, shard], side=64)
    read = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=workers)
    for ours, alone in zip(read, (dataset[i] for i in range(len(dataset))), strict=True):
        assert (ours["text"], ours["metadata"]) == (alone["text"], alone["metadata"])
        assert all(torch.equal(ours[name], alone[name]) for name in ("image", "coverage", "relevance"))
        assert isinstance(ours["masks"], LazyMasks)  # not decoded on the way
        assert all(torch.equal(a, b) for a, b in zip(ours["masks"], alone["masks"], strict=True))


def test_the_tar_may_lie_in_s3(labels: Path, shard: Path, bucket: Any) -> None:
    bucket.upload_file(str(shard), "v1/sa_000000.tar")
    local, remote = (ARRCOCDataset([labels], [tar]) for tar in (shard, "s3://sa1b/v1/sa_000000.tar"))
    for i in range(len(local)):
        assert torch.equal(local[i]["image"], remote[i]["image"])
        assert local[i]["metadata"] == remote[i]["metadata"]
    forked = torch.utils.data.DataLoader(remote, batch_size=None, num_workers=2)
    assert all(torch.equal(a["image"], local[i]["image"]) for i, a in enumerate(forked))
    with pytest.raises(UserError, match=r"none\.tar: bytes=\d+-\d+ can't be read"):
        ARRCOCDataset([labels], ["s3://sa1b/none.tar"])[0]
