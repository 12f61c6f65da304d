"""A workspace with two tiny shards in which the first three stages have run, copied for each test."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from ml.params import Params
from ml.workspace import Workspace
from ml.workspace.settings import preset, validate
from orchestration.freshness.staleness import State, state_of
from orchestration.runs.run import Outcome, run

FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]


class Silent:
    """Watches a run; keeps the shards that were done."""

    def __init__(self) -> None:
        self.shards: list[tuple[str, str]] = []

    def begin(self, state: State) -> None:
        pass

    def shard(self, name: str, shard: str, done: int, total: int) -> None:
        self.shards.append((name, shard))

    def end(self, name: str, seconds: float, error: str | None) -> None:
        pass


@dataclass
class Town:
    """A workspace, the params in force, and what its last run did."""

    ws: Workspace
    params: Params
    watcher: Silent = field(default_factory=Silent)

    def edit(self, **values: object) -> None:
        """Change params by dotted keys, with two underscores for the dot; `params.yaml` follows."""
        raw = self.params.model_dump(mode="json")
        for key, value in values.items():
            *sections, last = key.split("__")
            target = raw
            for section in sections:
                target = target[section]
            target[last] = value
        self.params = validate(raw, "test")
        write_params(self.ws, self.params)

    def states(self) -> dict[str, State]:
        return {name: state_of(name, self.ws, self.params) for name in FIRST}

    def stale(self) -> set[str]:
        return {name for name, state in self.states().items() if state.state != "fresh"}

    def run(self) -> Outcome:
        self.watcher = Silent()
        return run(self.ws, self.params, "+filtered_masks", self.watcher)


def write_params(ws: Workspace, params: Params) -> None:
    ws.params_file.write_text(yaml.safe_dump(params.model_dump(mode="json")))


@pytest.fixture(scope="session")
def finished_town(make_checkout) -> Town:
    ws = Workspace(make_checkout("smoke").root)
    town = Town(ws, preset("smoke"))
    town.edit(toytown__images_per_shard=2, shards__workers=1)
    outcome = town.run()
    assert outcome.materialized == FIRST, outcome.errors
    return town


@pytest.fixture
def town(finished_town: Town, tmp_path: Path) -> Iterator[Town]:
    root = tmp_path / "town"
    shutil.copytree(finished_town.ws.root, root)
    before = os.environ.get("DAGSTER_HOME")
    yield Town(Workspace(root), finished_town.params)
    if before is not None:
        os.environ["DAGSTER_HOME"] = before
