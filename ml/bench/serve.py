"""`arrcoc bench serve`: the server beside `mlflow models serve` of the same release, asked by 1, 4 and 16 clients.

Both are asked over HTTP, in turns, on the workspace's own benchmark pictures: each picture some questions. A client
asks as soon as it has its answer.
"""

import base64
import itertools
import logging
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from ml.bench.measure import Row, rates, result, times
from ml.errors import UserError
from ml.release.questions import questions
from ml.training.tracking import store
from ml.workspace import Workspace

CLIENTS = (1, 4, 16)
PICTURES, SECONDS = 8, 15.0  # of each number of clients
START = 180.0  # seconds in which a server must answer
PEER = "mlflow models serve"
Ask = Callable[[bytes, str], None]


def bench() -> dict[str, Any]:
    """Measure on the released model of the workspace around the current folder.

    Raises:
        UserError: there is no released model, or a server does not answer.
    """
    ws = Workspace.find()
    package = ws.stage("released_model") / "package"
    asked = [(row["path"].read_bytes(), row["texts"]) for row in questions(ws.stage("benchmark_data"), PICTURES)]
    with _ours(package) as ours, _mlflow(package) as peer:
        rows = [*_first_and_further(ours, peer, asked)]
        for clients in CLIENTS:
            rows += _load(ours, peer, asked, clients)
    return result("serve", rows)


def _first_and_further(ours: Ask, peer: Ask, asked: Sequence[tuple[bytes, Sequence[str]]]) -> Iterator[Row]:
    """The first question to a picture, and a further one, alone on the machine."""
    for case, which in (("first question to a picture", slice(0, 1)), ("further question to it", slice(1, 3))):
        took = [[_timed(ask, image, text) for image, texts in asked for text in texts[which]] for ask in (ours, peer)]
        mine, theirs = (1000 * statistics.median(values) for values in took)
        yield times(f"{case}, p50", mine, theirs, PEER, "ms")


def _load(ours: Ask, peer: Ask, asked: Sequence[tuple[bytes, Sequence[str]]], clients: int) -> list[Row]:
    mine, theirs = (_under_load(ask, asked, clients) for ask in (ours, peer))
    named = f"{clients} client{'s' if clients > 1 else ''}"
    return [
        rates(f"requests, {named}", len(mine) / SECONDS, len(theirs) / SECONDS, PEER, "requests/s"),
        *(_latency(f"latency p{percent}, {named}", mine, theirs, percent) for percent in (50, 95)),
    ]


def _latency(case: str, ours: Sequence[float], peer: Sequence[float], percent: int) -> Row:
    mine, theirs = (1000 * sorted(each)[percent * (len(each) - 1) // 100] for each in (ours, peer))
    return times(case, mine, theirs, PEER, "ms")


def _under_load(ask: Ask, asked: Sequence[tuple[bytes, Sequence[str]]], clients: int) -> list[float]:
    """Seconds of each request, of clients that begin at different pictures."""
    every = [(image, text) for image, texts in asked for text in texts]
    until, took = time.perf_counter() + SECONDS, list[float]()

    def client(number: int) -> None:
        start = number * len(every) // clients
        for image, text in itertools.cycle(every[start:] + every[:start]):
            seconds = _timed(ask, image, text)
            took.append(seconds)
            if time.perf_counter() > until:
                return

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def _timed(ask: Ask, image: bytes, text: str) -> float:
    begun = time.perf_counter()
    ask(image, text)
    return time.perf_counter() - begun


@contextmanager
def _ours(package: Path) -> Iterator[Ask]:
    """A client of `arrcoc serve`."""
    port = _free()
    with _server([sys.executable, "-m", "orchestration.cli", "serve", "--package", str(package)], port, "/readyz"):

        def ask(image: bytes, text: str) -> None:
            url = f"http://127.0.0.1:{port}/v1/ask"
            requests.post(url, files={"image": image}, data={"query": text}, timeout=60).raise_for_status()

        yield ask


@contextmanager
def _mlflow(package: Path) -> Iterator[Ask]:
    """A client of MLflow's own server of the same package."""
    with tempfile.TemporaryDirectory() as folder:
        model, port = _saved(package, Path(folder) / "model"), _free()
        command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m", str(model)]
        with _server(command, port, "/ping"):

            def ask(image: bytes, text: str) -> None:
                row = [base64.b64encode(image).decode(), text]
                asked: Any = {"dataframe_split": {"columns": ["image", "query"], "data": [row]}}
                requests.post(f"http://127.0.0.1:{port}/invocations", json=asked, timeout=120).raise_for_status()

            yield ask


def _saved(package: Path, out: Path) -> Path:
    """The package as the registered model is: MLflow's folder around it."""
    os.environ.update(store.QUIET)
    import mlflow.pyfunc

    from ml.release import pyfunc

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    code = str(Path(pyfunc.__file__))
    mlflow.pyfunc.save_model(out, python_model=code, artifacts={"package": str(package)}, pip_requirements=["arrcoc"])
    return out


@contextmanager
def _server(command: Sequence[str], port: int, ready: str) -> Iterator[None]:
    """A server in a group of its own, from its first answer on.

    Raises:
        UserError: it does not answer.
    """
    found = {"PYTHONPATH": [*filter(None, sys.path)], "PATH": [str(Path(sys.executable).parent), os.environ["PATH"]]}
    env = os.environ | {name: os.pathsep.join(folders) for name, folders in found.items()}  # MLflow looks for uvicorn
    silent = subprocess.DEVNULL
    process = subprocess.Popen(
        [*command, "--port", str(port)], env=env, start_new_session=True, stdout=silent, stderr=silent
    )
    try:
        _await(process, f"http://127.0.0.1:{port}{ready}")
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _await(process: subprocess.Popen[bytes], address: str) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise UserError(f"{process.args!r}: no answer from {address}; start it by hand to see why")


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
