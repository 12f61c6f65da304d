"""A tiny workspace in the pipeline's own file formats: random backbones, drawn rectangles, learnable labels."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
import yaml
from safetensors.numpy import save_file

from ml.masks import Masks
from ml.training.data.samples import Query
from ml.training.launchers.processes import environment, free_port
from ml.training.tracking import store
from ml.workspace import Workspace
from ml.workspace.keys import file_md5
from ml.workspace.settings import load

REPOSITORY = Path(__file__).parents[3]
SIDE, CHANNELS, EMBED = 64, 32, 8
PORT = free_port()
COLORS = ("red", "blue", "green")


@pytest.fixture(autouse=True)
def world_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the launcher sets for the only process of a stage."""
    values = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": PORT}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture(autouse=True)
def linear_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepSpeed's stage 3 puts a linear layer of its own in the place of torch's, for the rest of the process."""
    from torch.nn import functional

    monkeypatch.setattr(functional, "linear", functional.linear)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    shutil.copy(REPOSITORY / "dvc.yaml", root)
    write_params(root, {})
    write_backbones(root / "data" / "backbones")
    ws = Workspace(root)
    write_shards(ws, ["sa_000000", "sa_000001"], images=10)
    write_models(ws)
    store.run_id(ws, load(ws.params_file), "mask_region_alignment")  # creates the store, which takes seconds
    return root


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Callable[..., Workspace]:
    """A function that copies the workspace, with some params changed: `workspace(training={"zero_stage": 3})`."""

    def copy(**changes: Any) -> Workspace:
        root = tmp_path / f"ws{len(list(tmp_path.iterdir()))}"
        shutil.copytree(template, root)
        write_params(root, changes)
        return Workspace(root)

    return copy


class StoppedError(Exception):
    """Stands for whatever ends a process in the middle of a stage."""


def run(ws: Workspace, stage: str, stop_at: int | None = None) -> dict[str, Any]:
    """Train a stage in this process, with the threads of a launched one; its history.

    `stop_at`: break off after the record of that step.
    """
    import torch

    from ml.training.engine import engine
    from ml.training.main import train_stage
    from ml.training.reporter import Reporter

    class Stopping(Reporter):
        def metrics(self, values: Mapping[str, float], step: int) -> None:
            super().metrics(values, step)
            if step == stop_at and "train/loss" in values:
                raise StoppedError

    params = load(ws.params_file)
    torch.set_num_threads(int(environment(params)["OMP_NUM_THREADS"]))  # sums differ in the last bit with their number
    train_stage(stage, ws, params, engine.join(1), Stopping(stage))
    return history(ws, stage)


def history(ws: Workspace, stage: str) -> dict[str, Any]:
    """What a finished stage tells: {"stage", "steps", "best", "train", "validation"}."""
    best, train, validation = (
        json.loads((ws.stage(stage) / f"{name}.json").read_text()) for name in ("best", "train", "validation")
    )
    return {**best, "train": train, "validation": validation}


@pytest.fixture
def train() -> Callable[..., dict[str, Any]]:
    return run


@pytest.fixture
def interrupted() -> type[Exception]:
    return StoppedError


def write_params(root: Path, changes: dict[str, Any]) -> None:
    """The smoke preset with a smaller model, and `changes` by section."""
    raw = yaml.safe_load((REPOSITORY / "ml" / "presets" / "smoke.yaml").read_text())
    raw["model"] |= {"dim": 32, "heads": 2, "grounding_layers": 1, "relevance_layers": 1, "captioner_layers": 1}
    raw["training"] |= {"global_batch": 3, "batch_size": 3, "queries_per_image": 3, "log_interval": 1, "validations": 2}
    raw["training_set"]["validation_fraction"] = 0.3
    raw["labels"] |= {"similarity_midpoint": 0.0, "similarity_scale": 0.3}  # a random CLIP's cosines are small
    for section, values in changes.items():
        raw[section] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(raw))


def write_backbones(folder: Path) -> None:
    import torch

    from ml.models.frozen.clip import build_clip
    from ml.models.frozen.sam import SamConfig, build_sam, config_json
    from ml.models.weights import write_weights

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    sam = SamConfig("tiny", image_size=SIDE, width=16, depth=1, heads=2, channels=CHANNELS)
    (folder / "sam.json").write_text(config_json(sam, write_weights(folder / "sam.safetensors", build_sam(sam))))
    architecture = {
        "embed_dim": EMBED,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    clip = {"architecture": architecture, "merges": None, "mean": [0.5] * 3, "std": [0.5] * 3}
    clip["sha256"] = write_weights(folder / "clip.safetensors", build_clip(architecture))
    (folder / "clip.json").write_text(json.dumps(clip))


def write_models(ws: Workspace) -> None:
    """Untrained models in the place of the first three stages, so that each stage can be tested alone."""
    import torch

    from ml.models.arrcoc import ARRCOC, ModelConfig
    from ml.models.frozen.clip import load_clip
    from ml.models.frozen.sam import load_sam

    torch.manual_seed(0)
    sam, clip = load_sam(ws.stage("backbones")), load_clip(ws.stage("backbones"))
    params = load(ws.params_file)
    model = ARRCOC(ModelConfig.from_backbones(params.model, params.labels, sam, clip))
    for stage in ("mask_region_alignment", "text_region_grounding", "relevance_learning"):
        model.save(ws.stage(stage))


def write_shards(ws: Workspace, names: list[str], images: int) -> None:
    """Images of 48 x 64 pixels with up to four coloured rectangles; features hold the colours, cell by cell."""
    rng = np.random.default_rng(0)
    for folder in ("sa1b_shards", "pseudo_labels", "image_features", "training_set"):
        ws.stage(folder).mkdir()
    entries = []
    for shard, name in enumerate(names):
        drawn = [draw(rng, 100 * shard + i) for i in range(images)]
        rows = [row for row, _ in drawn]
        write_images(ws.shard_file("sa1b_shards", name, ".tar"), rows)
        labels, features = (
            ws.shard_file(stage, name, suffix)
            for stage, suffix in (("pseudo_labels", ".parquet"), ("image_features", ".safetensors"))
        )
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), labels, row_group_size=4)
        names_of = [phrase.split()[1] for row in rows for phrase in row["phrases"]]
        embeddings = np.eye(EMBED, dtype=np.float16)[[COLORS.index(color) for color in names_of]]
        save_file({"embeddings": embeddings}, labels.with_suffix(".safetensors"))
        stacked = np.stack([features for _, features in drawn], axis=1)
        save_file({"features": stacked, "image_ids": np.array([row["image_id"] for row in rows])}, features)
        files = {"labels": labels, "embeddings": labels.with_suffix(".safetensors"), "features": features}
        entries.append({"shard": name, **{kind: file_md5(file) for kind, file in files.items()}, "images": images})
    manifest = {
        "group": "group_000",
        "shards": entries,
        "validation_fraction": 0.3,
        "seed": 0,
        "statistics": {},
        "left_out": [],
    }
    (ws.stage("training_set") / "group_000.json").write_text(json.dumps(manifest))


def write_images(tar: Path, rows: list[dict[str, Any]]) -> None:
    """Each image white where its first mask lies, its JPEG behind the one before; the rows learn where."""
    with tar.open("wb") as file:
        for row in rows:
            mask = Masks.parse(row["counts"], (row["height"], row["width"])).dense(0)
            pixels = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
            row["jpeg_offset"] = file.tell()
            row["jpeg_bytes"] = file.write(simplejpeg.encode_jpeg(pixels, 100, colorsubsampling="444"))


SCHEMA = pa.schema(
    {
        **{name: pa.int64() for name in ("image_id", "width", "height", "jpeg_offset", "jpeg_bytes")},
        "caption": pa.string(),
        "mask_ids": pa.list_(pa.int64()),
        "counts": pa.list_(pa.string()),
        "boxes": pa.list_(pa.list_(pa.float32())),
        "phrases": pa.list_(pa.string()),
        "queries": pa.list_(
            pa.struct(
                [
                    *((name, pa.string()) for name in ("text", "kind")),
                    *((name, pa.int32()) for name in ("target", "anchor")),
                    ("named", pa.list_(pa.int32())),
                    *((name, pa.string()) for name in ("name", "against")),
                ]
            )
        ),
        "relevance": pa.list_(pa.list_(pa.float32())),
        "questions": pa.list_(pa.struct({"question": pa.string(), "answer": pa.string(), "evidence": pa.int32()})),
    }
)


def draw(rng: np.random.Generator, image_id: int) -> tuple[dict[str, Any], np.ndarray]:
    """A row of pseudo-labels and its features float16 [2, C, 4, 4]."""
    height, width, n = 48, 64, int(rng.integers(2, 5))
    dense, colors = np.zeros((n, height, width), bool), [COLORS[i] for i in rng.integers(0, len(COLORS), n)]
    for i in range(n):
        y, x, h, w = rng.integers(0, 30), rng.integers(0, 40), rng.integers(10, 18), rng.integers(12, 24)
        dense[i, y : y + h, x : x + w] = True
    masks = Masks.from_dense(dense)
    frame = np.zeros((CHANNELS, SIDE, SIDE), np.float32)
    for i, color in enumerate(colors):
        frame[COLORS.index(color), :height, :width][dense[i]] = 1
    features = [view.reshape(CHANNELS, 4, 16, 4, 16).mean((2, 4)) for view in (frame, frame[:, :, ::-1])]
    centers = [np.argwhere(mask)[:, 1].mean() for mask in dense]
    first, second = (int(i) for i in np.argsort(centers)[:2])
    asked = [
        (
            f"{color} box",
            "attribute",
            i,
            -1,
            [n for n, other in enumerate(colors) if other == color],
            f"{color} box",
            "",
        )
        for i, color in enumerate(colors)
    ]
    here, there = (f"{colors[i]} box" for i in (first, second))
    asked += [("leftmost box", "superlative", first, -1, [*range(n)], "box", "")]
    asked += [(f"the box left of the {there}", "relation", first, second, [*range(n)], "box", there)]
    named = [n for n, color in enumerate(colors) if color == colors[first]]
    asked += [("yellow box", "absent", -1, -1, [], "yellow box", "")]
    asked += [(f"the yellow box left of the {here}", "absent", -1, first, [], "yellow box", here)]
    asked += [(f"the {here} left of the yellow box", "absent", -1, -1, named, "", "")]
    relevance = [[float(colors[n] == color) for n in range(len(colors))] for color in colors]
    relevance += [[float(n == first) for n in range(len(colors))]] * 2 + [[0.0] * len(colors)] * 3
    row = {
        "image_id": image_id,
        "width": width,
        "height": height,
        "jpeg_offset": 0,
        "jpeg_bytes": 0,
        "caption": f"{n} boxes",
        "mask_ids": list(range(n)),
        "counts": masks.to_strings(),
        "boxes": masks.boxes().tolist(),
        "phrases": [f"a {color} box" for color in colors],
        "queries": [dict(zip(Query._fields, query, strict=True)) for query in asked],
        "relevance": relevance,
        "questions": [{"question": "what is on the left?", "answer": f"a {colors[first]} box", "evidence": first}],
    }
    return row, np.stack(features).astype(np.float16)
