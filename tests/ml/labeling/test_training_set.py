import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.errors import UserError
from ml.labeling.table import SCHEMA
from ml.labeling.training_set import build_group, is_validation
from ml.params import TrainingSet

HALF = TrainingSet(validation_fraction=0.5)


def row(image_id: int) -> dict[str, Any]:
    filled = dict.fromkeys(SCHEMA.names)
    queries = [
        {"text": "a car", "kind": "attribute", "target": 0},
        {"text": "the car left of the house", "kind": "relation", "target": 0},
    ]
    return filled | {
        "image_id": image_id,
        "levels": ["object", "part", "object"],
        "phrases": ["a car", "", "a house"],
        "queries": queries,
        "questions": [{"question": "how many cars are there?", "answer": "one", "evidence": 0}],
    }


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    labels, features = tmp_path / "labels", tmp_path / "features"
    labels.mkdir()
    features.mkdir()
    for number, name in enumerate(("sa_000000", "sa_000001")):
        rows = [row(10 * number + i) for i in range(4)]
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), labels / f"{name}.parquet")
        (labels / f"{name}.safetensors").write_bytes(b"e" + name.encode())
        (features / f"{name}.safetensors").write_bytes(b"f" + name.encode())
    return labels, features


def test_manifest(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "group_000.json"
    report = build_group("group_000", ["sa_000000", "sa_000001"], *folders, out, HALF, 7)
    manifest = json.loads(out.read_text())
    assert set(manifest) == {"group", "shards", "validation_fraction", "seed", "statistics"}
    assert [member["shard"] for member in manifest["shards"]] == ["sa_000000", "sa_000001"]
    first = manifest["shards"][0]
    labels, features = folders
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
    }  # fmt: skip
    assert manifest["statistics"] == expected == report.numbers


def test_the_split_is_the_published_rule() -> None:
    digest = hashlib.sha256(b"3:41").digest()
    share = int.from_bytes(digest, "big") / 2**256
    assert is_validation(3, 41, share + 1e-6)
    assert not is_validation(3, 41, share - 1e-6)
    held_back = sum(is_validation(0, i, 0.1) for i in range(5000))
    assert 400 < held_back < 600


def test_missing_files_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[1] / "sa_000001.safetensors").unlink()
    out = tmp_path / "group.json"
    with pytest.raises(UserError, match=r"features/sa_000001.safetensors: missing; run image_features"):
        build_group("group_000", ["sa_000000", "sa_000001"], *folders, out, HALF, 0)
    with pytest.raises(UserError, match="run pseudo_labels"):
        build_group("group_000", ["sa_000009"], *folders, out, HALF, 0)
    assert not out.exists()
