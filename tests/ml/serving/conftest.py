"""The shipped backbones under an untrained model, released as a run would, and a real server of it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

from tests.released import write_package

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("release"))


class Server:
    """A server's process and its address."""

    def __init__(self, package: Path | None, env: dict[str, str], *options: str, cwd: Path | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "orchestration.cli", "serve", "--port", str(port)]
        command += ["--package", str(package)] if package else []
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [*command, *options],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait(self) -> "Server":
        until = time.monotonic() + 120
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if requests.get(f"{self.url}/readyz", timeout=5).ok:
                    return self
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise AssertionError(f"no server: {self.process.poll()}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@pytest.fixture
def start(package: Path) -> Iterator[Callable[..., Server]]:
    """Start a server with options; it is stopped when the test ends."""
    servers: list[Server] = []

    def started(*options: str, of: Path | None = package, cwd: Path | None = None, **env: str) -> Server:
        servers.append(Server(of, env, *options, cwd=cwd))
        return servers[-1].wait()

    yield started
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def server(package: Path) -> Iterator[Server]:
    server = Server(package, {}).wait()
    yield server
    server.stop()


@pytest.fixture
def page(server) -> Iterator[Page]:
    """The page, which has asked nobody else for anything and met no error when the test ends."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing (Debian's package chromium)")
    met: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page()
        page.on("pageerror", lambda error: met.append(str(error)))
        page.on("console", lambda told: met.append(told.text) if told.type == "error" else None)
        ours = ("data:", "blob:", "about:", server.url)
        page.on("request", lambda asked: None if asked.url.startswith(ours) else met.append(asked.url))
        page.goto(server.url)
        yield page
        browser.close()
    assert not [told for told in met if "422" not in told]
