"""A small workspace that the real stages have filled, one of its shards damaged, and answers to its benchmarks."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from ml import pipeline
from ml.evaluation.predictions.files import as_tables, prediction_files
from ml.workspace import Workspace
from ml.workspace.settings import load, preset
from tests.ml.serving.conftest import ROOT, Server

STAGES = ("mask_index", "filtered_masks", "backbones", "pseudo_labels", "image_features", "benchmark_data")
IMAGES = 30  # a shard: more than a page shows
BROKEN = "sa_000001"


@pytest.fixture(scope="session")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("workspace")
    for name in ("dvc.yaml", "ml/presets/captions.jsonl"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    params = preset("smoke").model_dump(mode="json")
    params["shards"] |= {"count": 2, "workers": 1}
    params["toytown"] |= {"images_per_shard": IMAGES}
    params["quality"] |= {"max_reject_fraction": 0.5}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    made, known = Workspace(root), load(root / "params.yaml")
    pipeline.run("sa1b_shards", made, known)
    damage(made.shard_file("sa1b_shards", BROKEN, ".tar"))
    for stage in (*STAGES, "training_set"):
        pipeline.run(stage, made, known)
    answer(made)
    return made


def damage(tar: Path) -> None:
    """One mask of the first image cannot be read, nor the JPEG of the second."""
    with tarfile.open(tar) as file:
        members = [(member, file.extractfile(member).read()) for member in file]
    seen = {".json": 0, ".jpg": 0}
    with tarfile.open(tar, "w") as file:
        for member, data in members:
            suffix = Path(member.name).suffix
            seen[suffix] += 1
            if suffix == ".json" and seen[suffix] == 1:
                told = json.loads(data)
                told["annotations"][0]["segmentation"]["counts"] = "zz"
                data = json.dumps(told).encode()
            if suffix == ".jpg" and seen[suffix] == 2:
                data = data[:100]
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))


def answer(ws: Workspace) -> None:
    """Answer the benchmarks from their truth, some of it rightly."""
    data, rng = ws.stage("benchmark_data"), np.random.default_rng(0)
    known = {path.stem: pq.read_table(path).to_pylist() for path in (data / "truth").glob("*.parquet")}
    images = {
        row["query_id"]: row["image"]
        for name in known
        if not name.endswith("_regions")
        for row in pq.read_table(data / "queries" / f"{name}.parquet").to_pylist()
    }
    said = {
        name: [
            {"query_id": row["query_id"], "image": row.get("image") or images[row["query_id"]], **guess(name, row, rng)}
            for row in rows
            if rng.random() < 0.9
        ]
        for name, rows in known.items()
        if not name.endswith("_regions")
    }
    with prediction_files(ws.stage("benchmark_scores") / "predictions") as append:
        append(as_tables(said))


def guess(name: str, truth: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    if name == "vqa":
        return {"text": truth["answer"] if rng.random() < 0.5 else "a blue whale"}
    if name == "flickr30k_captions":
        return {"text": truth["references"][0] if rng.random() < 0.5 else "a red car"}
    if name == "relevance":
        return {"relevance": rng.random(len(truth["relevance"])).tolist()}
    boxes = [[x + rng.integers(0, 30), y, w, h] for x, y, w, h in truth.get("boxes", [])] or [[1.0, 2.0, 30.0, 40.0]]
    counts = truth.get("counts") or ["P`T1"] * len(boxes)
    scores = rng.random(len(boxes))
    return {"boxes": boxes, "counts": counts, "scores": scores.tolist(), "levels": ["object"] * len(boxes)}


@pytest.fixture(scope="session")
def served(ws: Workspace, package: Path) -> Iterator[Server]:
    """The whole server in the workspace."""
    shutil.copytree(package, ws.stage("released_model") / "package")
    server = Server(None, {}, cwd=ws.root).wait()
    yield server
    server.stop()


@pytest.fixture
def server(served: Server) -> Server:
    """What the fixture `page` opens."""
    return served


@pytest.fixture
def rows(ws: Workspace) -> Callable[..., list[dict[str, Any]]]:
    """All rows of a shard's file, read as a whole."""

    def read(stage: str, shard: str, suffix: str = ".parquet") -> list[dict[str, Any]]:
        return pq.read_table(ws.shard_file(stage, shard, suffix)).to_pylist()

    return read
