"""A workspace with two tiny shards in which the first three stages have run, copied for each test."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.compute.pool import open_pool
from ml.params import Params
from ml.sa1b import sharding
from ml.sa1b.sharding import Recipe
from ml.training.launchers.processes import free_port
from ml.workspace import Workspace, keys
from ml.workspace.settings import preset, validate
from ml.workspace.snapshot import Snapshot
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
        return {name: state_of(name, Snapshot(self.ws), self.params) for name in FIRST}

    def stale(self) -> set[str]:
        return {name for name, state in self.states().items() if state.state != "fresh"}

    def run(self) -> Outcome:
        self.watcher = Silent()
        with closing(open_pool(self.params.shards)) as pool:
            return run(self.ws, self.params, "+filtered_masks", self.watcher, pool)


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


@pytest.fixture
def many(town: Town) -> Town:
    """The town with its first shard copied to fifty names, each with the key of what it would be made from."""
    town.edit(shards__count=50)
    for name in FIRST:
        recipe, at = Recipe.of(name, town.ws, town.params), Snapshot(town.ws)
        first, *others = sharding.partitions(name, town.ws, town.params)
        for shard in others:
            outputs = recipe.outputs(shard)
            for source, out in zip(recipe.outputs(first), outputs, strict=True):
                shutil.copyfile(source, out)
            keys.record(town.ws, name, shard, recipe.key(shard, at.md5), at.md5s(outputs))
    assert (town.run().materialized, town.watcher.shards) == (FIRST, [])
    return town


WHERE = {"repositoryLocationName": "orchestration.definitions", "repositoryName": "__repository__"}
LAUNCH = """mutation ($params: ExecutionParams!) {launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""
STATUS = "query ($id: ID!) {pipelineRunOrError(runId: $id) {... on Run {status}}}"
OVER = {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass
class Served:
    """`arrcoc ui` in a workspace."""

    process: subprocess.Popen[str]
    dagster: str

    def ask(self, question: str, **variables: object) -> Any:
        """Ask Dagster's server a GraphQL question."""
        body = json.dumps({"query": question, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.dagster}/graphql", body, {"Content-Type": "application/json"})
        answer = json.loads(urllib.request.urlopen(request, timeout=120).read())
        assert "errors" not in answer, answer
        return answer["data"]

    def launch(self, stage: str) -> str:
        """Start a stage's job as the page does; the run's id."""
        selector = {**WHERE, "pipelineName": f"{stage}_job"}
        found = self.ask(LAUNCH, params={"selector": selector, "mode": "default"})["launchPipelineExecution"]
        assert found["__typename"] == "LaunchRunSuccess", found
        return str(found["run"]["runId"])

    def status(self, run: str) -> str:
        """Dagster's word for how a run goes."""
        return str(self.ask(STATUS, id=run)["pipelineRunOrError"]["status"])

    def await_end(self, run: str) -> str:
        """How a run has ended."""
        self.wait(lambda: self.status(run) in OVER, f"the end of run {run}")
        return self.status(run)

    @staticmethod
    def wait(done: Callable[[], object], what: str, seconds: float = 400) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
            time.sleep(1)


@pytest.fixture
def served() -> Callable[[Path], Any]:
    """A context manager that serves a workspace's pages on ports of their own."""

    @contextmanager
    def serving(root: Path) -> Iterator[Served]:
        ports = [free_port(), free_port(), free_port()]
        command = [sys.executable, "-m", "orchestration.cli", "ui"]
        command += ["--dagster-port", str(ports[0]), "--mlflow-port", str(ports[1]), "--browse-port", str(ports[2])]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {"PYTHONPATH": str(root), "PATH": path, "DAGSTER_HOME": str(root / ".dagster")}
        with subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.PIPE, text=True) as process:
            try:
                lines = [process.stderr.readline() for _ in range(5)]
                assert [line.split()[0] for line in lines[:3]] == ["Dagster", "MLflow", "Lineage"], lines
                yield Served(process, f"http://127.0.0.1:{ports[0]}")
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

    return serving
