"""What a person does in a browser: sees on Dagster's page what an edit made stale, runs it there, compares in MLflow.

Pictures of every step lie in pytest's temporary folder, or in the folder that ARRCOC_PICTURES names.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from ml.training.launchers.processes import free_port

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
GROUPS = ("shards", "labels", "training", "evaluation", "release")
STAGES = 15
WIDE = {"width": 4200, "height": 2600}  # the whole lineage, near enough that nodes show their state
MINUTE = 60_000  # milliseconds
KNOB, BEFORE, AFTER = "benchmark_scores.evaluation.grounding_weight", "0.6", "0.9"
MOVED = f"grounding_weight {BEFORE} to {AFTER}"
READ_BY = {"benchmark_scores", "compressed_model"}  # the stages that read `evaluation`


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("ARRCOC_PICTURES", tmp_path / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page() -> Iterator[Page]:
    if not CHROMIUM.is_file():
        pytest.skip(f"no browser: {CHROMIUM} is missing (Debian's package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport=WIDE)
        page.set_default_timeout(2 * MINUTE)  # on a busy machine
        yield page
        browser.close()


@contextmanager
def served(root: Path) -> Iterator[tuple[str, str]]:
    """The addresses of Dagster's page and of MLflow's view of the scores, served by `arrcoc ui` in a workspace."""
    ports = [free_port(), free_port(), free_port()]
    command = [
        sys.executable,
        "-m",
        "orchestration.cli",
        "ui",
        "--dagster-port",
        str(ports[0]),
        "--mlflow-port",
        str(ports[1]),
        "--browse-port",
        str(ports[2]),
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PYTHONPATH": str(root), "PATH": path}
    with subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stderr.readline() for _ in range(3)]
            assert [line.split()[0] for line in lines] == ["Dagster", "MLflow", "Lineage"], lines
            yield f"http://127.0.0.1:{ports[0]}", lines[1].split()[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def open_lineage(page: Page, dagster: str) -> None:
    """The global lineage with all groups open, once every asset has its state."""
    expanded = quote(",".join(f"global@global:{group}" for group in GROUPS))
    page.goto(f"{dagster}/asset-groups?expanded={expanded}")
    expect(page.locator("foreignObject", has_text="Latest event")).to_have_count(STAGES, timeout=2 * MINUTE)


def await_marked(page: Page, wanted: set[str], minutes: int) -> None:
    """Wait until exactly these assets are marked as no longer in step with their code, params and input."""
    marked = page.locator("foreignObject", has_text="Latest event").filter(has_text="Unsynced")
    until, found = time.monotonic() + 60 * minutes, {"nothing was looked at"}
    while found != wanted and time.monotonic() < until:
        page.wait_for_timeout(500)
        found = set(re.findall(r"Unsynced \(\d+\)(\w+?)Latest event", " ".join(marked.all_text_contents())))
    assert found == wanted


def launch_marked(page: Page, wanted: set[str], pictures: Path) -> None:
    """`Materialize unsynced` from the menu beside `Materialize all`, which names what it would run."""
    page.locator("button", has_text="Materialize all").locator("xpath=following::button[1]").click()
    page.get_by_text("Materialize unsynced").click()
    dialog = page.get_by_role("dialog").filter(has_text="Materialize unsynced assets")
    for name in wanted:
        expect(dialog).to_contain_text(name, timeout=MINUTE)
    page.screenshot(path=pictures / "3_launching.png")
    page.get_by_role("button", name=re.compile(rf"Materialize {len(wanted)} assets?")).click()


def compare_scores(page: Page, mlflow: str, pictures: Path) -> None:
    """Select the two runs in MLflow's view of the scores, compare them, and have only what differs shown."""
    page.set_viewport_size({"width": 1600, "height": 1400})
    page.goto(mlflow)
    scores = page.get_by_role("row").filter(has=page.get_by_role("link", name="benchmark_scores"))
    expect(scores).to_have_count(2, timeout=MINUTE)
    expect(page.get_by_role("link", name=f"benchmark_scores, {MOVED}")).to_have_count(1)
    expect(page.get_by_role("columnheader", name="relevance/val/accuracy").first).to_be_visible()
    for number in range(2):
        scores.nth(number).get_by_role("checkbox").first.check(force=True)
    page.screenshot(path=pictures / "5_runs.png")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("switch", name="Parameters - Show diff only").click()
    differing = page.get_by_role("button", name="Parameters", exact=True).locator("xpath=following::table[1]")
    expect(differing.get_by_role("row")).to_have_count(1, timeout=MINUTE)
    expect(differing).to_contain_text(KNOB)
    values = differing.get_by_role("cell").all_inner_texts()
    differing.scroll_into_view_if_needed()
    page.screenshot(path=pictures / "6_compared.png")
    assert set(values) == {BEFORE, AFTER}


@pytest.mark.slow
def test_an_edit_is_seen_run_and_compared_in_the_browser(
    finished: Any, page: Page, pictures: Path, tmp_path: Path
) -> None:
    root = tmp_path / "town"
    shutil.copytree(finished.root, root)
    with served(root) as (dagster, mlflow):
        walk(page, root, dagster, mlflow, pictures)


def walk(page: Page, root: Path, dagster: str, mlflow: str, pictures: Path) -> None:
    open_lineage(page, dagster)
    await_marked(page, set(), 1)
    page.screenshot(path=pictures / "1_fresh.png")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace(f"  grounding_weight: {BEFORE}", f"  grounding_weight: {AFTER}"))
    await_marked(page, READ_BY, 2)  # the definitions are loaded again by themselves
    page.screenshot(path=pictures / "2_marked.png")
    launch_marked(page, READ_BY, pictures)
    await_marked(page, {"released_model"}, 10)  # it reads no such param, but what the two have made
    launch_marked(page, {"released_model"}, pictures)
    await_marked(page, set(), 5)
    page.screenshot(path=pictures / "4_fresh_again.png")
    compare_scores(page, mlflow, pictures)
