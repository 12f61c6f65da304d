"""Workspaces of their own for tests: a copy of the checkout, and one in which the smoke preset has run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import servers

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT.parent / "shared" / "samples"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout whose commands run its own code."""

    root: Path

    def run(self, *command: str, check: bool = True, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment in the copy; a failure shows what it printed."""
        env = os.environ | {
            "PYTHONPATH": str(self.root),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "DAGSTER_HOME": str(self.root / ".dagster"),
            "COLUMNS": "160",
        }
        done = subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(command)} exited {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
            )
        return done

    def json(self, *command: str, check: bool = True) -> Any:
        """Run a command that prints one JSON object."""
        return json.loads(self.run(*command, check=check).stdout)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The real sample files; tests that need them skip where the folder is absent."""
    if not SAMPLES.is_dir():
        pytest.skip("no real sample files beside the checkout (../shared/samples)")
    return SAMPLES


@pytest.fixture(scope="session")
def make_checkout(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Checkout]:
    """A function that copies the checkout, with the params of a preset."""

    def make(preset: str, folder: str = "checkout") -> Checkout:
        root = tmp_path_factory.mktemp(folder)
        listed = subprocess.run(
            ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.split("\0")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
        shutil.copy2(ROOT / "ml" / "presets" / f"{preset}.yaml", root / "params.yaml")
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "A copy"]):
            subprocess.run([*git, *command], cwd=root, check=True)
        return Checkout(root)

    return make


@pytest.fixture(scope="session")
def finished(make_checkout: Callable[..., Checkout]) -> Checkout:
    """A copy of the checkout in which the whole line has run with the smoke preset."""
    checkout = make_checkout("smoke")
    done = checkout.run("arrcoc", "run", "--json", check=False)
    (checkout.root / "first_run.json").write_text(done.stdout)
    (checkout.root / "first_run.log").write_text(done.stderr)
    assert done.returncode in (0, 1), done.stderr[-6000:]  # 1: smoke's scores miss the milestones
    return checkout


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A PostgreSQL server; a test makes databases of its own in it."""
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Mlflow]:
    """An MLflow server on PostgreSQL with artifacts in S3; a test has an experiment of its own in it."""
    postgres.create("mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    with servers.s3("mlflow") as s3, servers.mlflow(postgres.url("mlflow"), s3, "mlflow", folder) as server:
        yield server
