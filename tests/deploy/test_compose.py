"""`deploy/compose.yaml` without Compose: it is whole, keeps to this machine, and starts what there is."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import composed
from tests.deploy.composed import FOLDER, ROOT

VALUES = {"POSTGRES_PASSWORD": "secret", "ARTIFACTS": "s3://town/mlflow"}
COMPOSE = composed.read(VALUES)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
WIDE = os.environ | {"COLUMNS": "200"}  # for a program's help
TARGETS = re.findall(r"^FROM \S+ AS (\S+)$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)


def volumes(name: str) -> list[list[str]]:
    return [volume.split(":") for volume in SERVICES[name].get("volumes", [])]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_images_are_targets_of_the_dockerfile(name: str) -> None:
    build = SERVICES[name]["build"]
    assert build["target"] in TARGETS
    assert SERVICES[name]["image"] == f"arrcoc-{build['target']}"
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_and_waits_for_is_there(name: str) -> None:
    for source, *_ in volumes(name):
        assert (FOLDER / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]
    assert set(SERVICES[name].get("depends_on", {})) <= set(SERVICES)
    assert "healthcheck" in SERVICES[name] or SERVICES[name]["image"] == "arrcoc-serve"  # which has its own


def test_the_example_names_every_variable() -> None:
    named = re.findall(r"^#?(\w+)=", (FOLDER / ".env.example").read_text(), re.MULTILINE)
    assert composed.variables() <= set(named)
    ignored = subprocess.run(["git", "check-ignore", "deploy/.env"], cwd=ROOT, capture_output=True, check=False)
    assert ignored.returncode == 0
    assert "**/.env" in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize("name", OURS)
def test_commands_are_those_of_programs_that_are_there(name: str) -> None:
    program, *rest = SERVICES[name]["command"]
    path = Path(sys.executable).with_name(program)
    assert path.is_file()
    if flags := {word for word in rest if word.startswith("--")}:
        command = [str(path), *itertools.takewhile(lambda word: not word.startswith("--"), rest), "--help"]
        told = subprocess.run(command, env=WIDE, cwd=ROOT, capture_output=True, text=True, check=True)
        assert flags <= set(re.findall(r"--[a-z-]+", told.stdout))
