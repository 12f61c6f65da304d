"""In a workspace the version is served that the registry's alias names, wherever somebody moves it."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml.params import Params
from ml.release import register
from ml.release.runtime.predictor import CONFIG
from ml.release.variants import REGISTERED
from ml.serving import champion
from ml.training.tracking import store
from ml.workspace import Workspace
from ml.workspace.atomic import write_json
from ml.workspace.settings import load
from tests.ml.serving.conftest import Server
from tests.ml.serving.test_server import ask

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ws(package: Path, tmp_path: Path) -> Workspace:
    """A workspace with version 2 released in it, and version 1 in the registry alone."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    ws = Workspace(tmp_path)
    params, out = load(ws.params_file), ws.stage("released_model")
    shutil.copytree(package.parent, out)
    client = store.connect(ws, params)
    for card in ("the first", "the second"):
        (out / "card.md").write_text(card)
        run = client.create_run(store.experiment(client, ws, params)).info.run_id
        version = register._register(ws, params, run, out / "package", card, None)
        move(ws, params, version)
        write_json(out / REGISTERED, register._registration(params, version, out))
    return ws


def move(ws: Workspace, params: Params, version: str) -> None:
    client = store.connect(ws, params)
    client.set_registered_model_alias(params.release.model_name, params.release.alias, version)


def await_version(url: str, version: str) -> dict[str, Any]:
    until, told = time.monotonic() + 60, {"version": None}
    while told["version"] != version and time.monotonic() < until:
        time.sleep(0.2)
        told = ask(url, ["the car"]).json()["model"]
    assert told["version"] == version
    return told


def test_an_alias_moved_by_hand_is_followed_without_a_dropped_request(start: Callable[..., Any], ws: Workspace) -> None:
    params = load(ws.params_file)
    server, done, statuses = start(of=None, cwd=ws.root), threading.Event(), list[int]()
    second = await_version(server.url, "2")

    def client() -> None:
        while not done.is_set():
            statuses.append(ask(server.url, ["the car"]).status_code)

    thread = threading.Thread(target=client)
    thread.start()
    move(ws, params, "1")
    first = await_version(server.url, "1")
    move(ws, params, "2")
    assert await_version(server.url, "2") == second
    done.set()
    thread.join()
    assert set(statuses) == {200}
    assert first["alias"] == params.release.alias and first["lineage"] not in (None, second["lineage"])


def test_a_workspace_without_a_release_serves_the_registry_s(start: Callable[..., Any], ws: Workspace) -> None:
    shutil.rmtree(ws.stage("released_model"))
    assert await_version(start(of=None, cwd=ws.root).url, "2")["version"] == "2"


def test_with_nothing_released_anywhere_it_is_told_in_a_line(tmp_path: Path) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    server = Server(None, {}, cwd=tmp_path)
    _, said = server.process.communicate(timeout=50)
    wanted = f"arrcoc: {tmp_path}/data/released_model/package: no released model there; make one with: arrcoc run\n"
    assert (server.process.returncode, said) == (2, wanted)


def test_what_an_earlier_server_had_brought_is_removed(ws: Workspace) -> None:
    params = load(ws.params_file)
    move(ws, params, "1")
    champion.bring(ws, params)
    link = ws.data / champion.FOLDER / "package"
    assert link.resolve().parent.name == "version_1" and (link / CONFIG).is_file()
    champion._tidy(ws)
    assert link.exists()  # what is served stays
    move(ws, params, "2")
    champion.bring(ws, params)
    assert link.resolve() == ws.stage("released_model") / "package"  # nothing is brought that lies here
    champion._tidy(ws)
    assert [path.name for path in link.parent.iterdir()] == ["package"]
