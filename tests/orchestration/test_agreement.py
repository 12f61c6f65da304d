"""Three who must say the same after any edit: `arrcoc status`, Dagster's own resolver, and `dvc status`.

The same cases as the table in docs/how-it-knows.md.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from dvc.repo import Repo

from ml import pipeline
from ml.workspace import Workspace, stages
from ml.workspace.settings import PRESETS, load
from orchestration.definitions import build
from orchestration.freshness.staleness import states
from orchestration.instance.opened import instance
from orchestration.provenance import tell

SHARDED = set(pipeline.SHARDED)
TRAINING = set(pipeline.TRAINING)
SCORED = {"benchmark_scores", "compressed_model", "released_model"}


@dataclass
class Place:
    """A finished workspace; every edit is undone by `undo`."""

    ws: Workspace
    before: dict[Path, Path | None] = field(default_factory=dict)

    def keep(self, name: str) -> Path:
        """The path of a file that is about to be changed."""
        path = self.ws.root / name
        copy = self.ws.root.parent / f"kept_{len(self.before)}" if path.is_file() else None
        if copy:
            shutil.copy2(path, copy)
        self.before[path] = copy
        return path

    def undo(self) -> None:
        for path, copy in self.before.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if copy:
                shutil.move(copy, path)
        self.before.clear()

    def by_arrcoc(self) -> set[str]:
        params = load(self.ws.params_file)
        return {state.name for state in states(self.ws, params) if state.state != "fresh"}

    def by_dagster(self) -> set[str]:
        """The assets that the page marks after *Reload definitions*."""
        params = load(self.ws.params_file)
        graph = build(self.ws, params).resolve_asset_graph()
        with instance(self.ws) as found:
            tell(found, self.ws, params)
            resolver = CachingStaleStatusResolver(found, graph, LoadingContextForTest(found))
            return {
                node.key.to_user_string()
                for node in graph.asset_nodes
                for piece in (node.partitions_def.get_partition_keys() if node.partitions_def else [None])
                if resolver.get_status(node.key, piece).value != "FRESH"
            }

    def by_dvc(self) -> set[str]:
        with Repo(str(self.ws.root)) as repo:
            return {name.rpartition(":")[2] for name in repo.status()}


Edit = Callable[[Place], None]


def param(key: str, value: object) -> Edit:
    def edit(place: Place) -> None:
        table = raw = yaml.safe_load((path := place.keep("params.yaml")).read_text())
        *sections, name = key.split(".")
        for section in sections:
            table = table[section]
        table[name] = value
        path.write_text(yaml.safe_dump(raw))

    return edit


def append(name: str, text: str) -> Edit:
    def edit(place: Place) -> None:
        with place.keep(name).open("a") as file:
            file.write(text)

    return edit


def remove(name: str) -> Edit:
    def edit(place: Place) -> None:
        for path in stages.files_below(place.ws.root / name):
            place.keep(path.relative_to(place.ws.root).as_posix()).unlink()

    return edit


def nothing(place: Place) -> None:
    pass


def preset(place: Place) -> None:
    shutil.copy(PRESETS / "toytown.yaml", place.keep("params.yaml"))


def function(place: Place) -> None:
    path = place.keep("ml/evaluation/metrics/basics.py")
    text = path.read_text()
    assert ">= threshold" in text
    path.write_text(text.replace(">= threshold", "> threshold"))


READ_LEVELS = {"benchmark_scores", "released_model"}  # they read `filter` and `ml/labeling/geometry/hierarchy.py` too
EDITS: dict[str, tuple[Edit, set[str]]] = {
    "nothing": (nothing, set()),
    "a threshold": (param("filter.predicted_iou", 0.9), {"filtered_masks", *READ_LEVELS}),
    "a loss weight": (
        param("relevance_learning.ranking_weight", 0.7),
        {"relevance_learning", "multimodal_finetuning"},
    ),
    "the bytes of a shard": (
        append("data/shards/sa_000001.tar", "more"),
        {"sa1b_shards", "mask_index", "pseudo_labels", "image_features", "training_set"},
    ),
    "a new shard": (param("shards.count", 3), SHARDED),
    "a removed shard": (param("shards.count", 1), SHARDED),
    "a comment": (append("ml/labeling/geometry/hierarchy.py", "# why\n"), {"filtered_masks", *READ_LEVELS}),
    "a function's body": (function, {"benchmark_scores", "compressed_model"}),
    "code that no stage declares": (append("orchestration/cli.py", "LATER = 1\n"), set()),
    "a param that no result depends on": (param("shards.workers", 1), set()),
    "a caption file": (append("ml/presets/captions.jsonl", "{}\n"), {"pseudo_labels"}),
    "a word of a prompt": (param("labels.openai.prompt", "What is it?"), {"pseudo_labels"}),
    "where a model answers": (param("endpoint.url", "http://127.0.0.1:9000/v1"), set()),
    "a preset": (preset, {*pipeline.SHARDED, *pipeline.WHOLE} - {"backbones"}),
    "a checkpoint": (
        append("data/multimodal_finetuning/model.safetensors", "more"),
        {"multimodal_finetuning", *SCORED},
    ),
    "benchmark data": (
        append("data/benchmark_data/truth/refcoco.parquet", "more"),
        {"benchmark_data", "training_set", *SCORED},
    ),
    "an output deleted": (remove("data/training_set"), {"training_set", *TRAINING, "released_model"}),
    "a file of an output deleted": (
        remove("data/mask_index/sa_000001.parquet"),
        {"mask_index", "filtered_masks", "training_set"},
    ),
    "an output tampered with": (
        append("data/filtered_masks/sa_000000.parquet", "more"),
        {"filtered_masks", "pseudo_labels", "image_features", "training_set"},
    ),
}


@pytest.fixture(scope="module")
def place(finished, tmp_path_factory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("agreement") / "town"
    shutil.copytree(finished.root, root)
    before = os.environ.get("DAGSTER_HOME")
    yield Place(Workspace(root))
    if before is not None:
        os.environ["DAGSTER_HOME"] = before


@pytest.mark.slow
@pytest.mark.parametrize("name", EDITS)
def test_all_three_say_the_same(place: Place, name: str):
    edit, expected = EDITS[name]
    try:
        edit(place)
        found = {"arrcoc": place.by_arrcoc(), "dagster": place.by_dagster(), "dvc": place.by_dvc()}
        assert found == dict.fromkeys(found, expected)
    finally:
        place.undo()
