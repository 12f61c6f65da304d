"""The same server as replicas on a Ray cluster of this machine."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.clusters.ray import ray_cluster
from tests.ml.serving.test_server import ask

pytest.importorskip("ray", reason="the extra [ray] is not installed")
TREES = [f"tree {number}" for number in range(32)]  # takes long enough to be interrupted


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a cluster of one node."""
    with ray_cluster(cores=4) as cluster:
        yield cluster.address


def replicas() -> set[int]:
    """The ids of this machine's processes that hold the model, as Ray titles them."""
    titles = {process.pid: process.info["cmdline"] or [""] for process in psutil.process_iter(["cmdline"])}
    return {pid for pid, title in titles.items() if title[0].startswith("ray::ServeReplica:arrcoc:Replica")}


@pytest.mark.slow
def test_it_answers_on_a_cluster_as_alone(start: Callable[..., Any], server, address: str) -> None:
    there = start("--workers", "2", RAY_ADDRESS=address)
    queries = ["the red car", "a tree left of the house"]
    for path, asked in (("ask", queries), ("caption", []), ("question", ["what color is the car?"])):
        here, far = (ask(url, asked, path=path) for url in (server.url, there.url))
        assert far.status_code == 200 and far.json() == here.json()
    refused = ask(there.url, [""])
    assert (refused.status_code, refused.json()) == (422, {"error": "query: 0 letters; from 1 to 500"})
    assert "arrcoc_requests_total" in requests.get(f"{there.url}/metrics", timeout=9).text


@pytest.mark.slow
def test_a_replica_that_dies_takes_nobody_else_with_it(start: Callable[..., Any], address: str) -> None:
    there, statuses = start("--workers", "2", RAY_ADDRESS=address), list[int]()

    def client() -> None:
        for _ in range(8):
            statuses.append(ask(there.url, TREES).status_code)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    found = replicas()
    assert len(found) == 2
    os.kill(min(found), signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 503} and statuses.count(200) >= 24
    assert ask(there.url, ["the car"]).status_code == 200


def test_a_cluster_that_is_not_there_is_told_in_a_line(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.errors import UserError
    from ml.serving.cluster import serve
    from ml.serving.limits import Limits

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match=r"RAY_ADDRESS: no Ray cluster at 127\.0\.0\.1:1"):
        serve(package, "127.0.0.1", 8000, 1, Limits())
