"""The manifest of a group of shards: which bytes are trained on, how they split, and what they hold."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.atomic import write_json
from ml.errors import UserError
from ml.keys import file_md5
from ml.params import TrainingSet
from ml.report import Report

COLUMNS = ["image_id", "levels", "phrases", "queries", "questions"]


def build_group(
    group: str,
    shards: Sequence[str],
    labels_dir: Path,
    features_dir: Path,
    out: Path,
    params: TrainingSet,
    seed: int,
) -> Report:
    """Write the manifest of a group: md5s and counts of its shards, the split, statistics.

    Raises:
        UserError: a shard's labels or features are missing.
    """
    statistics: Counter[str] = Counter()
    members = [_shard(name, labels_dir, features_dir, params.validation_fraction, seed, statistics) for name in shards]
    manifest = {
        "group": group,
        "shards": members,
        "validation_fraction": params.validation_fraction,
        "seed": seed,
        "statistics": dict(statistics),
    }
    write_json(out, manifest)
    return Report(numbers=dict(sorted(statistics.items())), tables={"shards": members})


def is_validation(seed: int, image_id: int, fraction: float) -> bool:
    """Whether an image is held back for validation: by its id alone, whatever shard or group it comes in."""
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest, "big") / 2**256 < fraction


def _shard(
    name: str, labels_dir: Path, features_dir: Path, fraction: float, seed: int, statistics: Counter[str]
) -> dict[str, Any]:
    """A shard's entry; what it holds is added to `statistics`."""
    labels, embeddings = labels_dir / f"{name}.parquet", labels_dir / f"{name}.safetensors"
    features = features_dir / f"{name}.safetensors"
    held: Counter[str] = Counter()
    for row in _rows(labels):
        held.update(_statistics(row, fraction, seed))
    statistics.update(held)
    return {
        "shard": name,
        "labels": _md5(labels, "pseudo_labels"),
        "embeddings": _md5(embeddings, "pseudo_labels"),
        "features": _md5(features, "image_features"),
        **{count: held[count] for count in ("images", "masks", "queries")},
    }


def _rows(labels: Path) -> list[dict[str, Any]]:
    try:
        return pq.read_table(labels, columns=COLUMNS).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{labels}: not readable as Parquet ({error}); run pseudo_labels for this shard") from error


def _statistics(row: dict[str, Any], fraction: float, seed: int) -> Counter[str]:
    validation = is_validation(seed, row["image_id"], fraction)
    return Counter(
        {
            "images": 1,
            "validation_images": int(validation),
            "train_images": int(not validation),
            "masks": len(row["levels"]),
            "described": sum(phrase != "" for phrase in row["phrases"]),
            "queries": len(row["queries"]),
            "questions": len(row["questions"]),
        }
    ) + Counter(f"{query['kind']}_queries" for query in row["queries"])


def _md5(path: Path, stage: str) -> str:
    if not path.is_file():
        raise UserError(f"{path}: missing; run {stage} for this shard")
    return file_md5(path)
