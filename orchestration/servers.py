"""`arrcoc ui`: the Dagster and MLflow pages, started together and stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml.errors import UserError
from ml.params import Params
from ml.training.tracking import embedded
from ml.training.tracking.store import front_page, tracking_uri
from ml.workspace import Workspace
from orchestration.terminal.console import stderr

START_SECONDS = 180.0  # on a busy machine
STOP_SECONDS = 10.0


def serve(ws: Workspace, params: Params, host: str, dagster_port: int, mlflow_port: int) -> None:
    """Start both servers, print their addresses, and stop them at Ctrl-C or when one ends.

    With `tracking.uri` MLflow's page is that server's, and only Dagster's is started.

    Raises:
        UserError: a port is in use, or a server ended by itself.
    """
    commands = {"Dagster": dagster_command(host, dagster_port)}
    require_free(host, dagster_port, "--dagster-port")
    if params.tracking.uri is None:
        require_free(host, mlflow_port, "--mlflow-port")
        commands["MLflow"] = mlflow_command(ws, params, host, mlflow_port)
    _bury_ghosts(ws)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen, ports = stderr(), {"Dagster": dagster_port, "MLflow": mlflow_port}
    processes = {name: _start(ws, name, command) for name, command in commands.items()}
    try:
        for name, process in processes.items():
            _await(name, process, host, ports[name], str(_log(ws, name)))
            address = f"http://{host}:{ports[name]}"
            address = front_page(ws, params, address) if name == "MLflow" else address
            screen.print(f"{name:8} {address}")
        if params.tracking.uri is not None:
            screen.print(f"MLflow   {front_page(ws, params, params.tracking.uri)}")
        screen.print("Ctrl-C stops both.")
        _watch(ws, processes)
    except KeyboardInterrupt:
        screen.print("stopping")
    finally:
        stop(list(processes.values()))


def _start(ws: Workspace, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a server in a group of its own; what it says goes to its log."""
    env = {**os.environ, "DAGSTER_HOME": str(ws.root / ".dagster")}
    with _log(ws, name).open("w") as log:
        return subprocess.Popen(command, cwd=ws.root, env=env, stdout=log, stderr=log, start_new_session=True)


def _watch(ws: Workspace, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Wait until a server ends, which none should by itself."""
    while all(process.poll() is None for process in processes.values()):
        time.sleep(0.5)
    ended = next(name for name, process in processes.items() if process.poll() is not None)
    raise UserError(f"{ended} ended by itself; its last words are in {_log(ws, ended)}")


def _log(ws: Workspace, name: str) -> Path:
    return ws.root / ".dagster" / f"{name.lower()}.log"


def dagster_command(host: str, port: int) -> list[str]:
    """Dagster's webserver and the daemon that runs what its page launches."""
    program = [sys.executable, "-m", "dagster", "dev", "-m", "orchestration.definitions"]
    return [*program, "-h", host, "-p", str(port)]


def mlflow_command(ws: Workspace, params: Params, host: str, port: int) -> list[str]:
    """MLflow's server on the embedded store."""
    (ws.root / "mlflow").mkdir(exist_ok=True)
    embedded.follow(ws)
    store = ["--backend-store-uri", tracking_uri(ws, params)]
    artifacts = ["--default-artifact-root", (ws.root / "mlflow" / "artifacts").as_uri()]
    where = ["--host", host, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *store, *artifacts, *where]


def require_free(host: str, port: int, option: str) -> None:
    """Check that nothing listens on a port.

    Raises:
        UserError: it is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(f"port {port} on {host} is in use; choose another with {option}") from error


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the servers and all that they started; those that do not listen are killed."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, sign)
        deadline = time.monotonic() + STOP_SECONDS
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(0.1)


def _bury_ghosts(ws: Workspace) -> None:
    """Nothing that Dagster takes for running does run, where no process holds the workspace and no page is served."""
    from orchestration.freshness.lock import busy
    from orchestration.ghosts import bury
    from orchestration.runs.run import instance

    if not busy(ws):
        with instance(ws) as found:
            bury(found)


def _await(name: str, process: subprocess.Popen[bytes], host: str, port: int, log: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"{name} did not start; its last words are in {log}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.2)
    raise UserError(f"{name} did not answer on port {port} within {START_SECONDS:.0f} s; see {log}")
