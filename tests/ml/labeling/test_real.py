"""A shard made of a real SA-1B image goes the whole way; toytown's weights owe it no quality."""

import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from ml.evaluation.benchmarks.index import HASHES
from ml.labeling.captioners.from_clip import ClipCaptioner
from ml.labeling.features import encode_shard
from ml.labeling.geometry.hierarchy import assign
from ml.labeling.labels import label_shard
from ml.labeling.training_set.manifest import build_group
from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import Sam, load_sam
from ml.sa1b.shards.filter import filter_masks
from ml.sa1b.shards.index import build_index
from ml.workspace.settings import preset

NAME = "sa_000000"


@pytest.fixture(scope="module")
def tar(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real") / f"{NAME}.tar"
    with tarfile.open(path, "w") as shard:
        for member in ("sa_1.jpg", "sa_1.json"):
            shard.add(samples / "sa1b" / member, member)
    return path


@pytest.fixture(scope="module")
def sam(weights: Path) -> Sam:
    return load_sam(weights)


def test_from_tar_to_training_set(tar: Path, clip: Clip, sam: Sam) -> None:
    params, folder = preset("toytown"), tar.parent
    index, rejects, kept = (folder / name for name in ("index.parquet", "rejects.parquet", "kept.parquet"))
    build_index(tar, index, rejects, params.quality)
    filter_masks(index, kept, params.filter, assign)
    labels, features = folder / "labels", folder / "features"
    outputs = labels / f"{NAME}.parquet", labels / f"{NAME}.safetensors"
    wide = params.labels.model_copy(update={"similarity_midpoint": 0.25})  # a drawn world knows little of this one
    label_shard(kept, tar, *outputs, clip, ClipCaptioner(clip, clip), wide, 0)
    encode_shard(kept, tar, features / f"{NAME}.safetensors", sam, params.features)
    hashes = folder / "hashes.parquet"  # of benchmarks without images
    pq.write_table(HASHES.empty_table(), hashes)
    build_group("group_000", [NAME], labels, features, hashes, folder / "group_000.json", params.training_set, 0)
    (row,) = pq.read_table(outputs[0]).to_pylist()
    n = pq.read_metadata(kept).num_rows
    assert (row["image_id"], row["width"], row["height"]) == (1, 1500, 2060)
    assert len(row["counts"]) == n > 10
    assert any(row["phrases"])
    assert row["queries"] and np.array(row["relevance"]).shape == (len(row["queries"]), n)
    assert load_file(outputs[1])["embeddings"].shape == (n, clip.embed_dim)
    stored = load_file(features / f"{NAME}.safetensors")
    assert stored["image_ids"].tolist() == [1]
    assert np.isfinite(stored["features"].astype(np.float32)).all()
