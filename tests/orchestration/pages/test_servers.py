"""`arrcoc ui`: all pages come up, and all are gone after Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from ml.errors import UserError
from ml.workspace import Workspace
from ml.workspace.settings import preset
from orchestration.pages.servers import Ports, require_free, serve, stop

STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_is_free_until_someone_listens():
    port = free_port()
    require_free("127.0.0.1", port, "--dagster-port")
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        with pytest.raises(UserError, match=f"port {port} on 127.0.0.1 is in use; choose another with --dagster-port"):
            require_free("127.0.0.1", port, "--dagster-port")


def test_a_tracking_server_of_ones_own_needs_no_port_here(tmp_path, monkeypatch):
    def past_the_ports(ws):
        raise UserError("past the ports")

    monkeypatch.setattr("orchestration.pages.servers._bury_ghosts", past_the_ports)
    params = preset("smoke")
    away = params.model_copy(update={"tracking": params.tracking.model_copy(update={"uri": "http://mlflow:5000"})})
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        for given, words in ((params, f"port {taken} on"), (away, "past the ports")):
            with pytest.raises(UserError, match=words):
                serve(Workspace(tmp_path), given, "127.0.0.1", Ports(free_port(), taken, free_port()))


def test_servers_that_do_not_listen_to_an_interrupt_are_killed(monkeypatch):
    monkeypatch.setattr("orchestration.pages.servers.STOP_SECONDS", 0.2)
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout.readline() == b"up\n"
    stop([process])
    assert process.wait(5) == -signal.SIGKILL


@pytest.mark.slow
def test_all_pages_answer_and_stop_at_an_interrupt(make_checkout):
    root = make_checkout("smoke").root
    ports = [str(free_port()) for _ in range(3)]
    command = [sys.executable, "-m", "orchestration.cli", "ui"]
    command += ["--dagster-port", ports[0], "--mlflow-port", ports[1], "--browse-port", ports[2]]
    env = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stderr.readline() for _ in range(4)]
            assert [line.split()[0] for line in lines] == ["Dagster", "MLflow", "Lineage", "Browse"]
            assert "#/experiments" in lines[1]  # and not MLflow's front page, which is for language models
            for line in lines:
                assert page(line.split()[1])
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    for port in ports:
        require_free("127.0.0.1", int(port), "")


def page(address: str) -> bytes:
    """The page behind an address, once it is served: the port is open a little earlier."""
    for _ in range(100):
        try:
            return urllib.request.urlopen(address, timeout=10).read()
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{address} does not answer")
