"""The checkup finds what is amiss, says what mends it, and never fails itself."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

from ml.workspace.atomic import _beside
from orchestration.checkup import CHECKS, Finding, checkup
from orchestration.freshness.dvc_lock import cache_folder


def found(root: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in checkup(root)}


def states(root: Path) -> dict[str, str]:
    return {name: finding.state for name, finding in found(root).items() if finding.state != "ok"}


def test_a_sound_workspace_is_ok_in_all_and_below_as_well(town):
    for folder in (town.ws.root, town.ws.data):
        findings = found(folder)
        assert list(findings) == ["workspace", *(check.name for check in CHECKS)]
        assert not states(folder)
        assert findings["cache"].found == "all of 3 fresh stages, and of 3 in dvc.lock"
        assert not any(finding.mend for finding in findings.values())


def test_broken_files_are_wrong_each_with_what_mends_it(town):
    root = town.ws.root
    text = town.ws.params_file.read_text()
    town.ws.params_file.write_text(text.replace("seed: 0", "seed: 2026-13-45"))
    lock = (root / "dvc.lock").read_text()
    (root / "dvc.lock").write_text(lock[: len(lock) // 2])
    (root / ".dagster" / "dagster.yaml").unlink()
    assert states(root) == dict.fromkeys(("params.yaml", "dvc.lock", "cache", "dagster", "tracking"), "wrong")
    findings = found(root)
    assert "seed: found '2026-13-45'" in findings["params.yaml"].found
    assert "arrcoc params --preset toytown --write" in findings["params.yaml"].mend
    assert "rm dvc.lock" in findings["dvc.lock"].mend
    assert findings["dagster"].mend == f"git checkout {root}/.dagster/dagster.yaml"
    assert all("\n" not in finding.found and len(finding.found) < 300 for finding in findings.values())
    (root / "dvc.yaml").write_text("stages: [")
    assert states(root)["dvc.yaml"] == "wrong"


def test_what_a_run_mends_is_a_warning(town):
    root = town.ws.root
    shutil.rmtree(cache_folder(town.ws))
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    scrap = _beside(town.ws.data / "shards" / "sa.tar")
    scrap.with_name(f"{scrap.name.rsplit('.', 2)[0]}.{gone.pid}.tmp").write_text("half")
    with (root / ".dagster" / "run.lock").open("w") as file:
        file.write("4711")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert states(root) == dict.fromkeys(("cache", "run lock", "leftovers"), "warning")
        assert found(root)["run lock"].found == "process 4711 runs stages here"
    shutil.rmtree(root / ".git")
    assert found(root)["git"].state == "warning"
    assert f"safe.directory {root}" in found(root)["git"].mend


@pytest.mark.parametrize("uri", [None, "http://127.0.0.1:9"])
def test_a_store_that_cannot_be_used_is_wrong(town, uri):
    town.edit(tracking__uri=uri)
    (town.ws.root / "mlflow" / "mlflow.db").write_text("no database " * 99)
    finding = found(town.ws.root)["tracking"]
    assert finding.state == "wrong"
    assert "start the server or set tracking.uri" in finding.mend


def test_outside_a_checkout_that_alone_is_said(tmp_path):
    (finding,) = checkup(tmp_path)
    assert (finding.name, finding.state) == ("workspace", "wrong")
    assert "no params.yaml and dvc.yaml here or above" in finding.found


def test_a_check_that_raises_without_a_word_is_named_by_its_kind(town, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("shutil.disk_usage", fail)
    assert (found(town.ws.root)["disk"].state, found(town.ws.root)["disk"].found) == ("wrong", "ZeroDivisionError")
