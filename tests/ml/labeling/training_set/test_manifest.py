import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.errors import UserError
from ml.evaluation.benchmarks.index import HASHES
from ml.labeling.table import SCHEMA
from ml.labeling.training_set.manifest import build_group, is_validation
from ml.params import TrainingSet

HALF = TrainingSet(validation_fraction=0.5, decontaminate=True)


def row(image_id: int) -> dict[str, Any]:
    filled = dict.fromkeys(SCHEMA.names)
    queries = [
        {"text": "a car", "kind": "attribute", "target": 0},
        {"text": "the car left of the house", "kind": "relation", "target": 0},
    ]
    return filled | {
        "image_id": image_id,
        "phash": np.random.default_rng(image_id).bytes(32),
        "levels": ["object", "part", "object"],
        "phrases": ["a car", "", "a house"],
        "queries": queries,
        "questions": [{"question": "how many cars are there?", "answer": "one", "evidence": 0}],
    }


def write_hashes(path: Path, *hashes: bytes) -> None:
    rows = [{"image": f"lvis/{n}.jpg", "mirrored": n == 1, "phash": found} for n, found in enumerate(hashes)]
    pq.write_table(pa.Table.from_pylist(rows, HASHES), path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    labels, features = tmp_path / "labels", tmp_path / "features"
    labels.mkdir()
    features.mkdir()
    for number, name in enumerate(("sa_000000", "sa_000001")):
        rows = [row(10 * number + i) for i in range(4)]
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), labels / f"{name}.parquet")
        (labels / f"{name}.safetensors").write_bytes(b"e" + name.encode())
        (features / f"{name}.safetensors").write_bytes(b"f" + name.encode())
    write_hashes(tmp_path / "hashes.parquet")
    return labels, features, tmp_path / "hashes.parquet"


def test_manifest(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "group_000.json"
    report = build_group("group_000", ["sa_000000", "sa_000001"], *folders, out, HALF, 7)
    manifest = json.loads(out.read_text())
    parts = {"group", "shards", "validation_fraction", "seed", "statistics", "copies", "left_out"}
    assert set(manifest) == parts and manifest["copies"] == manifest["left_out"] == []
    assert [member["shard"] for member in manifest["shards"]] == ["sa_000000", "sa_000001"]
    first = manifest["shards"][0]
    labels, features, _ = folders
    for name, path in (
        ("labels", labels / "sa_000000.parquet"),
        ("embeddings", labels / "sa_000000.safetensors"),
        ("features", features / "sa_000000.safetensors"),
    ):
        assert first[name] == hashlib.md5(path.read_bytes()).hexdigest()
    assert (first["images"], first["masks"], first["queries"]) == (4, 12, 8)
    held_back = sum(is_validation(7, i, 0.5) for i in [*range(4), *range(10, 14)])
    expected = {
        "images": 8, "train_images": 8 - held_back, "validation_images": held_back, "masks": 24, "described": 16,
        "queries": 16, "questions": 8, "attribute_queries": 8, "relation_queries": 8,
        "left_out_images": 0, "benchmark_copies": 0,
    }  # fmt: skip
    assert manifest["statistics"] == expected == report.numbers


@pytest.mark.parametrize("decontaminate", [True, False])
def test_copies_of_benchmark_images_are_listed_and_left_out(
    folders: tuple[Path, Path, Path], tmp_path: Path, decontaminate: bool
) -> None:
    near = bytearray(row(12)["phash"])
    near[0] ^= 0b111
    write_hashes(folders[2], row(2)["phash"], bytes(near), np.random.default_rng(99).bytes(32))
    params = HALF.model_copy(update={"decontaminate": decontaminate})
    report = build_group("group_000", ["sa_000000", "sa_000001"], *folders, tmp_path / "group.json", params, 7)
    manifest = json.loads((tmp_path / "group.json").read_text())
    assert manifest["copies"] == [
        {"shard": "sa_000000", "image_id": 2, "benchmark_image": "lvis/0.jpg", "mirrored": False, "bits": 0},
        {"shard": "sa_000001", "image_id": 12, "benchmark_image": "lvis/1.jpg", "mirrored": True, "bits": 3},
    ]
    assert manifest["left_out"] == ([2, 12] if decontaminate else [])
    assert report.numbers["benchmark_copies"] == 2 and report.numbers["left_out_images"] == 2 * decontaminate
    assert report.numbers["train_images"] + report.numbers["validation_images"] == 8 - 2 * decontaminate
    assert report.tables["benchmark copies"] == manifest["copies"]


def test_the_split_is_the_published_rule() -> None:
    digest = hashlib.sha256(b"3:41").digest()
    share = int.from_bytes(digest, "big") / 2**256
    assert is_validation(3, 41, share + 1e-6)
    assert not is_validation(3, 41, share - 1e-6)
    held_back = sum(is_validation(0, i, 0.1) for i in range(5000))
    assert 400 < held_back < 600


def test_missing_files_are_named(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    (folders[1] / "sa_000001.safetensors").unlink()
    out = tmp_path / "group.json"
    with pytest.raises(UserError, match=r"features/sa_000001.safetensors: missing; run image_features"):
        build_group("group_000", ["sa_000000", "sa_000001"], *folders, out, HALF, 0)
    with pytest.raises(UserError, match="run pseudo_labels"):
        build_group("group_000", ["sa_000009"], *folders, out, HALF, 0)
    folders[2].unlink()
    with pytest.raises(UserError, match=r"hashes.parquet: .* run benchmark_data"):
        build_group("group_000", ["sa_000000"], *folders, out, HALF, 0)
    assert not out.exists()
