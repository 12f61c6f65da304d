"""The images of the Dockerfile: built from the lock, started as they are, asked, and stopped."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene
from orchestration.cli import OFFLINE
from tests.deploy.buildah import ROOT, Container, Store, children, container, require
from tests.released import write_package

MOST_BYTES = 700 * 10**6  # that the image of the released model may have, unpacked
UP_SECONDS = 300.0  # on a busy machine
ASKED = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())"
VERSIONS = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    require()
    made = Store(tmp_path_factory.mktemp("images"))
    made.make_base()
    yield made
    shutil.rmtree(made.folder)  # of 25 GB, which pytest would keep


@pytest.fixture(scope="module")
def serve(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    package = write_package(tmp_path_factory.mktemp("release"))
    with container(store, store.build("serve"), f"{package}:/package:ro") as made:
        yield made


@pytest.fixture(scope="module")
def line(store: Store) -> Iterator[Container]:
    with container(store, store.build("line")) as made:
        yield made


def wait(inside: Container, process: subprocess.Popen[bytes], health: list[str]) -> None:
    """Until a container says that it is well."""
    until = time.monotonic() + UP_SECONDS
    while inside.run(*health).returncode:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.5)


def plain(requirement: str) -> str:
    """A requirement with the name as PyPI compares it."""
    name, _, version = requirement.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def test_nothing_in_an_image_calls_home() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    assert not [name for name, value in OFFLINE.items() if f" {name}={value}" not in text]


@pytest.mark.slow
def test_the_released_model_needs_little(serve: Container) -> None:
    tree = serve.store.run("mount", serve.name)
    used = subprocess.run(["du", "--summarize", "--block-size=1", tree], capture_output=True, text=True, check=True)
    size = int(used.stdout.split()[0])
    print(f"serve: {size / 10**6:.0f} MB unpacked")
    assert size <= MOST_BYTES
    assert serve.holds("onnxruntime")
    assert not [name for name in ("torch", "mlflow", "dagster", "spacy", "pip") if serve.holds(name)]


@pytest.mark.slow
def test_its_versions_are_those_of_the_lock(serve: Container) -> None:
    locked = {plain(line) for line in (ROOT / "requirements.lock").read_text().split()}
    found = {plain(line) for line in serve.run("python", "-c", VERSIONS).stdout.split()}
    assert found - locked == {"arrcoc==0.1.0"}


@pytest.mark.slow
def test_it_is_healthy_while_it_answers_and_stops_when_told(serve: Container, tmp_path: Path) -> None:
    config = serve.store.inspect("arrcoc-serve")
    kind, *health = config["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert serve.run(*health).returncode != 0  # nothing listens yet
    with serve.started(*config["Cmd"]) as process:
        wait(serve, process, health)
        (server,) = [one for one in children(process) if one.name() == "arrcoc"][:1]
        assert {one.uids().real for one in [server, *server.children(recursive=True)]} == {1000}
        for path in ("/healthz", "/readyz"):
            assert serve.run("python", "-c", ASKED, f"http://127.0.0.1:8000{path}").returncode == 0
        picture = tmp_path / "town.png"
        Image.fromarray(draw(scene(0, 0, "tests")).image).save(picture)
        ask = [sys.executable, "-m", "orchestration.cli", "predict", str(picture), "the house", "--json"]
        ask += ["--out", str(tmp_path / "answer.png"), "--server", "http://127.0.0.1:8000"]
        told = subprocess.run(serve.beside(*ask), cwd=ROOT, capture_output=True, text=True, check=True)
        assert {"box", "score", "masks"} <= set(json.loads(told.stdout))
        assert not serve.run("find", "/home/arrcoc/.cache").stdout  # where onnxruntime would have an id of its own
        server.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert serve.run(*health).returncode != 0


@pytest.mark.real
def test_the_whole_line_runs_in_its_image_as_nobody_in_particular(line: Container) -> None:
    checks = json.loads(line.run("arrcoc", "doctor", "--json").stdout)["checks"]
    found = {check["name"]: check["state"] for check in checks}
    assert {found[name] for name in ("workspace", "packages", "git", "dvc.lock", "dagster", "tracking")} == {"ok"}
    assert line.run("id", "--user").stdout.strip() == "1000"
    line.run("arrcoc", "params", "--preset", "smoke", "--write")
    assert json.loads(line.run("arrcoc", "run", "--json").stdout)["failed"] == []
    assert json.loads(line.run("arrcoc", "run", "--json").stdout)["materialized"] == []


@pytest.mark.real
def test_its_pages_are_healthy_while_they_answer(line: Container) -> None:
    config = line.store.inspect("arrcoc-line")
    kind, *health = config["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert line.run(*health).returncode != 0
    with line.started(*config["Cmd"]) as process:
        wait(line, process, health)
