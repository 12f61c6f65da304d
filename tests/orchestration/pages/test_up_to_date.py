"""What the pages say follows what is edited, by itself; and they go on after a stall, a kill, and a first Ctrl-C."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml.workspace import Workspace
from orchestration.instance.opened import instance

ASSETS = "{assetNodes {assetKey {path} description}}"
LOAD = "{workspaceOrError {... on Workspace {locationEntries {loadStatus locationOrLoadError {__typename}}}}}"
CODE = ["code-server", "start"]  # in the command line of what loads the definitions
HOLDER = ["api", "grpc"]  # and of what it starts to hold them
STALL = 60  # seconds, more than Dagster's own servers wait for one another
MEMORY = 10**9


def described(ui: Any) -> dict[str, str]:
    return {node["assetKey"]["path"][0]: node["description"] for node in ui.ask(ASSETS)["assetNodes"]}


def below(ui: Any, *words: str) -> list[psutil.Process]:
    """The processes of the pages whose command line has all these words."""
    found = psutil.Process(ui.process.pid).children(recursive=True)
    alive = [process for process in found if process.status() != psutil.STATUS_ZOMBIE]
    return [process for process in alive if set(words) <= set(process.cmdline())]


def replace(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.slow
def test_an_edit_is_told_in_words_and_a_slip_leaves_the_graph(make_checkout, served):
    root = make_checkout("smoke").root
    with served(root) as ui:
        assert described(ui)["backbones"].startswith("**Missing:** data/backbones is missing")
        assert ui.await_end(ui.launch("backbones")) == "SUCCESS"
        ui.wait(lambda: "**" not in described(ui)["backbones"], "the made stage to be shown as fresh")
        replace(root / "ml" / "models" / "frozen" / "backbones.py", '"""', '"""With an edit: ')
        code = "**Stale:** code ml/models/frozen/backbones.py changed"
        ui.wait(lambda: described(ui)["backbones"].startswith(code), "the edit of code")
        replace(root / "params.yaml", "seed: 0", "seed: zero")
        slip = f"**Cannot run:** {root}/params.yaml: seed: found 'zero'"
        ui.wait(lambda: all(text.startswith(slip) for text in described(ui).values()), "the slip on every stage")
        assert len(described(ui)) == 15
        assert ui.await_end(ui.launch("backbones")) == "FAILURE"
        replace(root / "params.yaml", "seed: zero", "seed: 0")
        ui.wait(lambda: described(ui)["backbones"].startswith(code), "the mended params")


@pytest.mark.slow
def test_after_a_stall_and_a_kill_a_run_is_launched_as_before(make_checkout, served):
    with served(make_checkout("smoke").root) as ui:
        servers = psutil.Process(ui.process.pid).children(recursive=True)
        assert sum(process.memory_full_info().pss for process in servers) < MEMORY
        for process in servers:
            process.suspend()
        time.sleep(STALL)
        for process in servers:
            process.resume()
        assert ui.await_end(ui.launch("backbones")) == "SUCCESS"
        for words in (HOLDER, CODE):
            ui.wait(lambda words=words: len(below(ui, *words)) == 1, "the runs before to be gone")
            (victim,) = below(ui, *words)
            victim.kill()
            ui.wait(lambda victim=victim: below(ui, *HOLDER) and victim not in below(ui), "another code server")
            ui.wait(lambda: loaded(ui), "the definitions")
            assert ui.await_end(ui.launch("backbones")) == "SUCCESS"


def loaded(ui: Any) -> bool:
    (entry,) = ui.ask(LOAD)["workspaceOrError"]["locationEntries"]
    ended = entry["locationOrLoadError"] or {"__typename": ""}
    return (entry["loadStatus"], ended["__typename"]) == ("LOADED", "RepositoryLocation")


@pytest.mark.slow
def test_a_first_interrupt_lets_a_run_of_the_page_end(make_checkout, served):
    root = make_checkout("smoke").root
    with served(root) as ui:
        run = ui.launch("backbones")
        ui.wait(lambda: ui.status(run) == "STARTED", "the run")
        os.kill(ui.process.pid, signal.SIGINT)
        said = ui.process.stderr.readline()
        assert "The pages stay until it is done; Ctrl-C again ends it too" in said
        assert ui.process.wait(300) == 0
    with instance(Workspace(root)) as found:
        assert found.get_run_by_id(run).status.name == "SUCCESS"
