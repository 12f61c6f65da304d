"""`arrcoc ui`: the pages of Dagster, MLflow and the data, started together and stopped together."""

import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil

from ml.errors import UserError
from ml.params import Params
from ml.training.tracking import browse, embedded, provenance, store
from ml.workspace import Workspace, stages
from orchestration.freshness.lock import busy, holder
from orchestration.pages import dagster_servers
from orchestration.pages.changes import Changes, reload_definitions
from orchestration.terminal.console import stderr

START_SECONDS = 180.0  # on a busy machine
STOP_SECONDS = 10.0
LOOK_SECONDS = 1.0
AGAIN_SECONDS = 15.0
ANSWER_SECONDS = 5.0
BROWSE = "ml.serving.browse.alone"
# Its job runner is eight processes, 1.2 GB, which run what only MLflow's pages for language models ask for.
WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class Ports(NamedTuple):
    """Where each page is served."""

    dagster: int
    mlflow: int
    browse: int


def serve(ws: Workspace, params: Params, host: str, ports: Ports) -> None:
    """Start the servers, print their addresses, and stop them at Ctrl-C or when one ends.

    With `tracking.uri` MLflow's page is that server's, and none is started here. A run of the page that is in
    flight at Ctrl-C is waited for, until a second one.

    Raises:
        UserError: a port is in use, or a server ended by itself.
    """
    require_free(host, ports.dagster, "--dagster-port")
    require_free(host, ports.browse, "--browse-port")
    if params.tracking.uri is None:
        require_free(host, ports.mlflow, "--mlflow-port")
    _bury_ghosts(ws)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="arrcoc") as folder:
        pages = _Pages(ws, host, ports, Path(folder) / "code")
        try:
            pages.start(params)
            pages.stay()
        except KeyboardInterrupt:
            pages.screen.print("stopping")
        finally:
            stop(pages.started)


class _Pages:
    """The servers by name, and the addresses of their pages; `code` is the socket of Dagster's code server."""

    def __init__(self, ws: Workspace, host: str, ports: Ports, code: Path) -> None:
        self.ws, self.host, self.ports, self.code = ws, host, ports, code
        self.dagster, self.mlflow, self.browse = (f"http://{host}:{port}" for port in ports)
        self.screen = stderr()
        self.changes = Changes(ws)  # before the definitions are loaded for the first time
        self.trouble, self.again = "", math.inf  # of loading them anew
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.started: list[subprocess.Popen[bytes]] = []  # those that were started anew, too

    def start(self, params: Params) -> None:
        """Start all, and say where the pages are once they answer."""
        workspace = dagster_servers.write_workspace(self.code.with_name("workspace.yaml"), self.code)
        self._start("code server", dagster_servers.code_server(self.code))
        if params.tracking.uri is None:
            self._start("MLflow", mlflow_command(self.ws, params, self.host, self.ports.mlflow))
        self._start("Browse", [sys.executable, "-m", BROWSE, self.host, str(self.ports.browse)])
        self._await("code server", lambda: _listens(self.code))
        self._start("Dagster", dagster_servers.webserver(workspace, self.host, self.ports.dagster))
        self._start("daemon", dagster_servers.daemon(workspace))
        self._await("Dagster", lambda: _answers(self.dagster))
        self.screen.print(f"Dagster  {self.dagster}")
        if params.tracking.uri is None:
            self._await("MLflow", lambda: _answers(self.mlflow))
        self.screen.print(f"MLflow   {store.front_page(self.ws, params, params.tracking.uri or self.mlflow)}")
        self.screen.print(f"Lineage  {self.dagster}/{lineage_page(self.ws)}")
        self._await("Browse", lambda: _answers(f"{self.browse}/browse"))
        self.screen.print(f"Browse   {self.browse}/browse")
        self.screen.print("Ctrl-C stops them.")

    def stay(self) -> None:
        """Serve until Ctrl-C, and then as long as a run of the page is in flight, or until Ctrl-C comes again."""
        try:
            while True:
                self._look()
        except KeyboardInterrupt:
            if not self._runs():
                raise
            self.screen.print(self._what_would_end())
            while self._runs():
                self._look()
            raise

    def _look(self) -> None:
        """Reload the definitions where something they are made from has changed; mend a code server that is gone."""
        time.sleep(LOOK_SECONDS)
        if self._code_is_gone():
            self._mend()
        elif (left := self._left()) and not self._runs():
            stop(left)
        elif self.changes.look() or time.monotonic() > self.again:
            self._reload()
        if ended := next((name for name, process in self.processes.items() if process.poll() is not None), None):
            raise UserError(f"{ended} ended by itself; its last words are in {_log(self.ws, ended)}")

    def _reload(self) -> None:
        """Load the definitions again; where that fails, for example while Dagster's store is away, once more later."""
        trouble = reload_definitions(self.dagster) or ""
        self.again = time.monotonic() + AGAIN_SECONDS if trouble else math.inf
        if trouble != self.trouble:
            said = f"could not be loaded, and are again later: {trouble}" if trouble else "are loaded"
            self.screen.print(f"the definitions {said}", markup=False)
        self.trouble = trouble

    def _mend(self) -> None:
        """Start the code server again; a run that the old one has started is left to its end."""
        self.screen.print("Dagster's code server is gone; it is started again")
        if not self._runs():
            stop([self.processes["code server"]])
        self.code.unlink(missing_ok=True)
        self._start("code server", dagster_servers.code_server(self.code))
        self._await("code server", lambda: _listens(self.code))

    def _left(self) -> list[subprocess.Popen[bytes]]:
        """The code servers of before that were left to a run."""
        return [server for server in self.started if server not in self.processes.values() and _is_there(server)]

    def _code_is_gone(self) -> bool:
        """Whether the code server has ended, or what it started to hold the definitions."""
        code = self.processes["code server"]
        return code.poll() is not None or not psutil.Process(code.pid).children()

    def _runs(self) -> list[psutil.Process]:
        """The processes of runs that the page has launched."""
        groups = {process.pid for process in self.started}
        return [process for process in psutil.process_iter() if dagster_servers.is_run(process, groups)]

    def _what_would_end(self) -> str:
        held = holder(self.ws)
        what = held.words() if held else "A run of the page is under way."
        return f"{what} The pages stay until it is done; Ctrl-C again ends it too, and the next run goes on from there."

    def _start(self, name: str, command: Sequence[str]) -> None:
        """Start a server in a group of its own; what it says goes to its log."""
        pages = {
            provenance.DAGSTER_PAGE: self.dagster,
            store.MLFLOW_PAGE: self.mlflow,
            browse.BROWSE_PAGE: self.browse,
        }
        env = {**os.environ, **pages, **WITHOUT_JOBS, "DAGSTER_HOME": str(self.ws.root / ".dagster")}
        with _log(self.ws, name).open("w") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.ws.root, env=env, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(self.processes[name])

    def _await(self, name: str, answers: Callable[[], bool]) -> None:
        """Wait for a server's first answer; a terminal shows that, and for how long."""
        begun = time.monotonic()
        with self.screen.status("") as status:
            while (passed := time.monotonic() - begun) < START_SECONDS:
                if self.processes[name].poll() is not None:
                    raise UserError(f"{name} did not start; its last words are in {_log(self.ws, name)}")
                if answers():
                    return
                status.update(f"waiting for {name}, {passed:.0f} s")
                time.sleep(0.2)
        raise UserError(f"{name} did not answer within {START_SECONDS:.0f} s; see {_log(self.ws, name)}")


def lineage_page(ws: Workspace) -> str:
    """Where below Dagster's address the lineage of all stages is, with its groups open."""
    groups = dict.fromkeys(stage.group for stage in stages.load(ws).values())
    return f"asset-groups?expanded={quote(','.join(f'global@global:{group}' for group in groups))}"


def mlflow_command(ws: Workspace, params: Params, host: str, port: int) -> list[str]:
    """MLflow's server on the embedded store."""
    (ws.root / "mlflow").mkdir(exist_ok=True)
    embedded.follow(ws)
    database = ["--backend-store-uri", store.tracking_uri(ws, params)]
    artifacts = ["--default-artifact-root", (ws.root / "mlflow" / "artifacts").as_uri()]
    where = ["--host", host, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *database, *artifacts, *where]


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
            if _is_there(process):
                os.killpg(process.pid, sign)
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(_is_there, processes)) and time.monotonic() < deadline:
            time.sleep(0.1)


def _is_there(process: subprocess.Popen[bytes]) -> bool:
    """Whether anything is left of the group of processes that a server leads, or has led."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _bury_ghosts(ws: Workspace) -> None:
    """Nothing that Dagster takes for running does run, where no process holds the workspace and no page is served."""
    if not busy(ws):
        with ProcessPoolExecutor(1) as apart:  # Dagster's 60 MB go with it
            apart.submit(_bury, ws).result()


def _bury(ws: Workspace) -> None:
    from orchestration.instance.ghosts import bury
    from orchestration.instance.opened import instance

    with instance(ws) as found:
        bury(found)


def _log(ws: Workspace, name: str) -> Path:
    return ws.root / ".dagster" / f"{name.lower().replace(' ', '_')}.log"


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_SECONDS):
            return True
    except OSError:
        return False
