"""Each service of `deploy/compose.yaml` by its own command, with a PostgreSQL of Debian's and moto's S3 beside it.

What Compose would give a service is given to a process of this machine: its environment, its command, its health check.
Names and ports are this machine's, and the workspace is a copy of the checkout.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import yaml
from dagster._core.test_utils import create_run_for_test
from mlflow import MlflowClient

from ml.training.launchers.processes import free_port
from orchestration.cli import OFFLINE
from orchestration.pages.servers import stop
from tests import servers
from tests.conftest import Checkout
from tests.deploy import composed
from tests.deploy.composed import FOLDER
from tests.released import write_package

PORTS = ("3000", "4000", "5000", "8000")
UP_SECONDS = 300.0  # on a busy machine
LAUNCH = """mutation ($name: String!) {launchPipelineExecution(executionParams: {selector: {
  repositoryLocationName: "orchestration.definitions", repositoryName: "__repository__", pipelineName: $name},
  runConfigData: {}, mode: "default"}) {__typename ... on LaunchRunSuccess {run {runId}}}}"""

pytestmark = pytest.mark.slow


class Services:
    """The services as processes of this machine."""

    def __init__(self, checkout: Checkout, postgres: servers.Postgres, s3: str) -> None:
        self.root = checkout.root
        values = {"POSTGRES_PASSWORD": servers.PASSWORD, "ARTIFACTS": "s3://town/mlflow"}
        self.ports = {port: str(free_port()) for port in PORTS} | {"5432": str(postgres.port)}
        self.described: dict[str, Any] = self._here(composed.read(values))["services"]
        self.env = os.environ | OFFLINE | servers.KEYS | {"AWS_ENDPOINT_URL": s3, "PYTHONPATH": str(self.root)}
        self.env |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        self.started: dict[str, subprocess.Popen[bytes]] = {}

    def _here(self, part: Any) -> Any:
        if isinstance(part, dict):
            return {key: self._here(value) for key, value in part.items()}
        if isinstance(part, list):
            return [self._here(value) for value in part]
        if part in ("0.0.0.0", "postgres", "code"):
            return "127.0.0.1"
        ports = re.sub("|".join(rf"\b{port}\b" for port in self.ports), lambda found: self.ports[found[0]], str(part))
        return re.sub(r"^/workspace", str(self.root), ports)

    def start(self, name: str) -> None:
        """Start a service as Compose would."""
        described = self.described[name]
        command = [*described.get("entrypoint", []), *described["command"]]
        with (self.root / f"{name}.log").open("a") as log:
            self.started[name] = subprocess.Popen(
                command, cwd=self.root, env=self._env(name), stdout=log, stderr=log, start_new_session=True
            )

    def wait(self, name: str, check: list[str] | None = None) -> None:
        """Wait until its health check says that it is well."""
        kind, *command = check or self.described[name]["healthcheck"]["test"]
        assert kind == "CMD"
        until = time.monotonic() + UP_SECONDS
        while subprocess.run(command, cwd=self.root, env=self._env(name), capture_output=True, check=False).returncode:
            told = (self.root / f"{name}.log").read_text()[-4000:]
            assert self.started[name].poll() is None and time.monotonic() < until, told
            time.sleep(0.5)

    def url(self, port: str, path: str = "") -> str:
        """Where a service is reached that Compose has at a port."""
        return f"http://127.0.0.1:{self.ports[port]}{path}"

    def _env(self, name: str) -> dict[str, str]:
        return self.env | {key: str(value) for key, value in self.described[name].get("environment", {}).items()}


@pytest.fixture(scope="module")
def services(make_checkout: Callable[..., Checkout]) -> Iterator[Services]:
    with servers.postgres() as postgres, servers.s3("town") as s3:
        postgres.query(f"CREATE ROLE arrcoc SUPERUSER LOGIN PASSWORD '{servers.PASSWORD}'")
        for line in (FOLDER / "servers" / "databases.sql").read_text().splitlines():
            postgres.query(line)
        checkout = make_checkout("smoke")
        made = Services(checkout, postgres, s3)
        (checkout.root / ".dagster" / "dagster.yaml").write_bytes((FOLDER / "servers" / "dagster.yaml").read_bytes())
        params = yaml.safe_load((checkout.root / "params.yaml").read_text())
        params["tracking"]["uri"] = made.url("5000")
        (checkout.root / "params.yaml").write_text(yaml.safe_dump(params))
        try:
            made.start("mlflow")
            made.wait("mlflow")
            yield made
        finally:
            stop(list(made.started.values()))


def post(url: str, query: str, **variables: str) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    return json.loads(urllib.request.urlopen(request, timeout=60).read())["data"]


def status(url: str, run: str) -> str:
    query = "query ($id: ID!) {runOrError(runId: $id) {... on Run {status}}}"
    return str(post(url, query, id=run)["runOrError"]["status"])


def test_mlflow_keeps_runs_in_postgresql_and_files_in_the_bucket(services: Services, tmp_path: Path) -> None:
    (tmp_path / "told.txt").write_text("a picture")
    client = MlflowClient(services.url("5000"))
    run = client.create_run(client.create_experiment("town"))
    client.log_artifact(run.info.run_id, str(tmp_path / "told.txt"))
    secret = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=services.env["AWS_ENDPOINT_URL"], **secret)
    (kept,) = s3.list_objects_v2(Bucket="town")["Contents"]
    assert kept["Key"].startswith("mlflow/") and kept["Key"].endswith("told.txt")


@pytest.mark.parametrize(("host", "code"), [("mlflow", 200), ("elsewhere.example", 403)])
def test_mlflow_answers_to_its_name_in_compose(services: Services, host: str, code: int) -> None:
    request = urllib.request.Request(services.url("5000", "/api/2.0/mlflow/experiments/search?max_results=1"))
    request.add_header("Host", f"{host}:{services.ports['5000']}")
    try:
        assert urllib.request.urlopen(request, timeout=60).status == code
    except urllib.error.HTTPError as error:
        assert error.code == code


def test_a_run_of_the_page_is_run_by_the_code_server_and_kept_in_postgresql(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in services.described["code"]["environment"].items():
        monkeypatch.setenv(key, value)
    with dg.DagsterInstance.from_config(str(services.root / ".dagster")) as store:
        ghost = create_run_for_test(store, job_name="backbones_job", status=dg.DagsterRunStatus.STARTED).run_id
        for name in ("code", "webserver", "daemon"):
            services.start(name)
            services.wait(name)
        assert status(services.url("3000"), ghost) == "FAILURE"  # it would hold the queue for ever
        run = post(services.url("3000"), LAUNCH, name="backbones_job")["launchPipelineExecution"]["run"]["runId"]
        until = time.monotonic() + UP_SECONDS
        while (found := status(services.url("3000"), run)) not in ("SUCCESS", "FAILURE"):
            assert time.monotonic() < until, found
            time.sleep(1)
        assert found == "SUCCESS"
        assert store.get_run_by_id(run).is_success
    assert (services.root / "data" / "backbones" / "sam.json").is_file()


def test_the_released_model_is_served_from_the_workspace(services: Services, tmp_path: Path) -> None:
    package = services.root / "data" / "released_model" / "package"
    package.parent.mkdir(parents=True)
    write_package(tmp_path).rename(package)
    services.start("serve")
    ready = f"from urllib.request import urlopen; urlopen('{services.url('8000', '/readyz')}')"
    services.wait("serve", ["CMD", sys.executable, "-c", ready])
