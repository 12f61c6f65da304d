"""Real servers on this machine, for tests: PostgreSQL, S3 (moto's), MLflow on both; each on a port of its own."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from ml.training.launchers.processes import free_port
from orchestration.pages.servers import stop

USER, PASSWORD = "town", "a/secret %"
UP_SECONDS = 120.0  # on a busy machine
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server; `binaries` and `data` are folders, `owner` whom it runs as (it refuses root)."""

    binaries: Path
    data: Path
    owner: str
    port: int

    def settings(self, database: str = "postgres") -> dict[str, str]:
        """The environment in which PostgreSQL's own clients, and Dagster, find a database."""
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGDATABASE": database}
        return where | {"PGUSER": USER, "PGPASSWORD": PASSWORD}

    def url(self, database: str) -> str:
        """The address of a database for SQLAlchemy, whose default driver is another than the one that we have."""
        return f"postgresql+psycopg2://{USER}:{quote(PASSWORD)}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> None:
        """Make a database."""
        self.query(f'CREATE DATABASE "{database}"')

    def query(self, sql: str, database: str = "postgres") -> list[list[str]]:
        """The rows of an answer."""
        command = ["psql", "-X", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", sql]
        env = os.environ | self.settings(database)
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.data}"
        self._control("start", "-w", "-l", str(self.data / "server.log"), "-o", options)

    def stop(self) -> None:
        """Stop it; whoever is connected is cut off."""
        self._control("stop", "-m", "fast")

    def restart(self) -> None:
        """Stop and start it, as an upgrade does."""
        self._control("restart", "-w", "-l", str(self.data / "server.log"), "-m", "fast")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.data), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        user = {"user": self.owner, "group": pwd.getpwnam(self.owner).pw_gid} if os.getuid() == 0 else {}
        with tempfile.TemporaryFile("w+") as said:  # a pipe would be held open by the server
            done = subprocess.run(
                [str(self.binaries / program), *arguments], cwd="/", stdout=said, stderr=said, check=False, **user
            )
            said.seek(0)
            assert done.returncode == 0, said.read()

    def initialize(self) -> None:
        """Make its folder of data."""
        password = self.data.parent / "password"
        password.write_text(PASSWORD)
        if os.getuid() == 0:
            shutil.chown(password.parent, self.owner)
            shutil.chown(password, self.owner)
        secret = ["-U", USER, "-A", "scram-sha-256", "--pwfile", str(password)]
        self._run("initdb", "-D", str(self.data), "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", *secret)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server with an empty folder of data; a test that wants one skips where there is no PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or not shutil.which("psql"):
        pytest.skip("no PostgreSQL here (apt-get install postgresql)")
    owner = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="postgres") as folder:
        server = Postgres(found[-1].parent, Path(folder) / "data", owner, free_port())
        server.initialize()
        server.start()
        try:
            yield server
        finally:
            with suppress(AssertionError):  # a test has stopped it
                server.stop()


def await_answer(address: str, process: subprocess.Popen[bytes], log: Path | None = None) -> None:
    """Wait until a server answers that was just started."""
    deadline = time.monotonic() + UP_SECONDS
    while True:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        said = log.read_text()[-4000:] if log else ""
        assert process.poll() is None and time.monotonic() < deadline, f"{address} does not answer: {said}"
        time.sleep(0.2)


@contextmanager
def s3(*buckets: str) -> Iterator[str]:
    """The address of an S3 server with these buckets, in memory; `KEYS` are what its clients need beside that."""
    import boto3
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    address = f"http://{host}:{port}"
    secret = {"aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"]}
    client = boto3.client("s3", endpoint_url=address, region_name=KEYS["AWS_DEFAULT_REGION"], **secret)
    for bucket in buckets:
        client.create_bucket(Bucket=bucket)
    try:
        yield address
    finally:
        moto.stop()


@dataclass
class Mlflow:
    """An MLflow server, told by its environment alone where everything is; that keeps passwords out of `ps`."""

    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What `tracking.uri` is set to."""
        return f"http://{self.environment['MLFLOW_HOST']}:{self.environment['MLFLOW_PORT']}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **self.environment}, stdout=log, stderr=log, start_new_session=True
            )
        await_answer(f"{self.address}/health", self.process, self.log)

    def stop(self) -> None:
        """Stop it and all its workers."""
        if self.process:
            stop([self.process])


@contextmanager
def mlflow(database: str, s3: str, bucket: str, folder: Path) -> Iterator[Mlflow]:
    """An MLflow server on a database's address, with artifacts in a bucket; its log lies in a folder."""
    environment = {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}/mlflow",
        "MLFLOW_S3_ENDPOINT_URL": s3,
        "MLFLOW_HOST": "127.0.0.1",
        "MLFLOW_PORT": str(free_port()),
        "MLFLOW_WORKERS": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **KEYS,
    }
    server = Mlflow(environment, folder / "mlflow_server.log")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def losing(address: str, path: str) -> Iterator[str]:
    """A proxy of a server that hands on everything, and of the first request for `path` loses the answer."""
    lost: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
            asked = urllib.request.Request(address + self.path, body, headers, method=self.command)
            try:
                with urllib.request.urlopen(asked, timeout=60) as answer:
                    status, found, kind = answer.status, answer.read(), answer.headers["Content-Type"]
            except urllib.error.HTTPError as error:
                status, found, kind = error.code, error.read(), error.headers["Content-Type"]
            if self.path.endswith(path) and not lost:
                lost.append(path)
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = hand_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}"
        assert lost, f"nobody asked for {path}"
    finally:
        proxy.shutdown()
        proxy.server_close()
