"""The manifest of a group of shards: which bytes are trained on, how they split, what they hold, what is left out."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import UserError
from ml.labeling.training_set.contamination import benchmark_hashes, copies
from ml.params import TrainingSet
from ml.workspace.atomic import write_json
from ml.workspace.keys import file_md5
from ml.workspace.report import Report

COLUMNS = ["image_id", "phash", "levels", "phrases", "queries", "questions"]


def build_group(
    group: str,
    shards: Sequence[str],
    labels_dir: Path,
    features_dir: Path,
    hashes: Path,
    out: Path,
    params: TrainingSet,
    seed: int,
) -> Report:
    """Write the manifest of a group: md5s and counts of its shards, the split, statistics, copies of benchmark images.

    `copies` lists those that were found, `left_out` the ids of those that are not trained on: with
    `params.decontaminate` all of them, else none. `hashes` is what `benchmark_data` wrote.

    Raises:
        UserError: a shard's labels or features, or the hashes, are missing.
    """
    known = benchmark_hashes(hashes)
    statistics: Counter[str] = Counter()
    members: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for name in shards:
        rows = _rows(labels_dir / f"{name}.parquet")
        same = copies(name, [row["image_id"] for row in rows], [row["phash"] for row in rows], known)
        left_out = {copy["image_id"] for copy in same} if params.decontaminate else set()
        members.append(_shard(name, rows, left_out, labels_dir, features_dir, params.validation_fraction, seed))
        statistics.update(members[-1].pop("statistics"))
        found += same
    excluded = sorted(copy["image_id"] for copy in found) if params.decontaminate else []
    statistics.update(benchmark_copies=len(found), left_out_images=len(excluded))
    split = {"validation_fraction": params.validation_fraction, "seed": seed, "left_out": excluded}
    write_json(out, {"group": group, "shards": members, "statistics": dict(statistics), "copies": found} | split)
    return Report(numbers=dict(sorted(statistics.items())), tables={"shards": members, "benchmark copies": found})


def is_validation(seed: int, image_id: int, fraction: float) -> bool:
    """Whether an image is held back for validation: by its id alone, whatever shard or group it comes in."""
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest, "big") / 2**256 < fraction


def _shard(
    name: str,
    rows: list[dict[str, Any]],
    left_out: set[int],
    labels_dir: Path,
    features_dir: Path,
    fraction: float,
    seed: int,
) -> dict[str, Any]:
    """A shard's entry, with the statistics of what it holds."""
    labels, embeddings = labels_dir / f"{name}.parquet", labels_dir / f"{name}.safetensors"
    features = features_dir / f"{name}.safetensors"
    held: Counter[str] = Counter()
    for row in rows:
        held.update(_statistics(row, row["image_id"] in left_out, fraction, seed))
    return {
        "shard": name,
        "labels": _md5(labels, "pseudo_labels"),
        "embeddings": _md5(embeddings, "pseudo_labels"),
        "features": _md5(features, "image_features"),
        **{count: held[count] for count in ("images", "masks", "queries")},
        "statistics": held,
    }


def _rows(labels: Path) -> list[dict[str, Any]]:
    try:
        return pq.read_table(labels, columns=COLUMNS).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{labels}: not readable as Parquet ({error}); run pseudo_labels for this shard") from error


def _statistics(row: dict[str, Any], left_out: bool, fraction: float, seed: int) -> Counter[str]:
    """What one image adds to a shard's counts; an image that is left out is neither trained on nor validated with."""
    validation = is_validation(seed, row["image_id"], fraction)
    return Counter(
        {
            "images": 1,
            "validation_images": int(validation and not left_out),
            "train_images": int(not validation and not left_out),
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
