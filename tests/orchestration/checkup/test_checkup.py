"""The checkup finds what is amiss, says what mends it, and never fails itself."""

import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from ml.errors import UserError
from ml.training.tracking import store
from ml.workspace import lineage
from ml.workspace.atomic import _beside
from orchestration.checkup.checkup import CHECKS, before_run, checkup
from orchestration.checkup.finding import Finding
from orchestration.freshness.dvc_lock import cache_folder
from orchestration.runs import watched


def found(root: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in checkup(root)}


def states(root: Path) -> dict[str, str]:
    return {name: finding.state for name, finding in found(root).items() if finding.state != "ok"}


def gone() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_a_sound_workspace_is_ok_in_all_and_below_as_well(town):
    for folder in (town.ws.root, town.ws.data):
        findings = found(folder)
        assert list(findings) == ["workspace", *(check.name for check in CHECKS)]
        assert not states(folder)
        assert findings["registry"].found == "arrcoc@champion"
        assert findings["benchmarks"].found.endswith("absence; not indexed yet")
        assert findings["deepspeed"].found.endswith("gloo")
        assert findings["cache"].found == "all of 3 fresh stages, and of 3 in dvc.lock"
        assert not any(finding.mend for finding in findings.values())


def test_broken_files_are_wrong_each_with_what_mends_it(town):
    root = town.ws.root
    text = town.ws.params_file.read_text()
    town.ws.params_file.write_text(text.replace("seed: 0", "seed: 2026-13-45"))
    lock = (root / "dvc.lock").read_text()
    (root / "dvc.lock").write_text(lock[: len(lock) // 2])
    (root / ".dagster" / "dagster.yaml").unlink()
    of_params = {"params.yaml", "registry", "benchmarks", "devices", "processes", "disk", "memory", "clock"}
    assert states(root) == dict.fromkeys((*of_params, "dvc.lock", "cache", "dagster", "tracking"), "wrong")
    findings = found(root)
    assert "seed: found '2026-13-45'" in findings["params.yaml"].found
    assert "arrcoc params --preset toytown --write" in findings["params.yaml"].mend
    assert "rm dvc.lock" in findings["dvc.lock"].mend
    assert findings["dagster"].mend == f"git checkout {root}/.dagster/dagster.yaml"
    assert all("\n" not in finding.found and len(finding.found) < 300 for finding in findings.values())
    (root / "dvc.yaml").write_text("stages: [")
    assert states(root)["dvc.yaml"] == "wrong"


def test_code_of_another_checkout_is_told_where_it_differs(town):
    assert found(town.ws.root)["code"].found.endswith(", which is the same")
    with (town.ws.root / "ml" / "masks" / "codec.py").open("a") as file:
        file.write("# edited here, and not where the code runs from\n")
    finding = found(town.ws.root)["code"]
    assert finding.state == "warning" and finding.found.endswith("1 files are others than here, codec.py first")
    assert finding.mend == f"rm -rf {town.ws.root}/.venv, then make env"


def test_what_a_run_mends_is_a_warning(town):
    root = town.ws.root
    shutil.rmtree(cache_folder(town.ws))
    scrap = _beside(town.ws.data / "shards" / "sa.tar")
    scrap.with_name(f"{scrap.name.rsplit('.', 2)[0]}.{gone()}.tmp").write_text("half")
    with (root / ".dagster" / "run.lock").open("w") as file:
        file.write("4711")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert states(root) == dict.fromkeys(("cache", "run lock", "leftovers"), "warning")
        assert found(root)["run lock"].found == "process 4711 runs stages here"
    shutil.rmtree(root / ".git")
    assert found(root)["git"].state == "warning"
    assert f"safe.directory {root}" in found(root)["git"].mend


def test_a_store_that_is_none_is_wrong_and_a_server_that_is_away_a_warning(town):
    (town.ws.root / "mlflow" / "mlflow.db").write_text("no database " * 99)
    finding = found(town.ws.root)["tracking"]
    assert (finding.state, finding.mend) == ("wrong", "move the file away and run again")
    town.edit(tracking__uri="http://127.0.0.1:9")
    finding = found(town.ws.root)["tracking"]
    assert (finding.state, finding.mend) == ("warning", "start the server or set tracking.uri")


def test_a_deleted_experiment_is_wrong_and_its_command_brings_it_back(town, monkeypatch):
    client = store.connect(town.ws, town.params)
    experiment = store.experiment(client, town.ws, town.params)
    client.delete_experiment(experiment)
    finding = found(town.ws.root)["tracking"]
    assert (finding.state, finding.found) == ("wrong", "tracking.experiment: 'arrcoc' is deleted in the store")
    setting, *command = finding.mend.partition(", or set another name")[0].split()
    monkeypatch.setenv(*setting.split("=", 1))
    subprocess.run([str(Path(sys.executable).with_name(command[0])), *command[1:]], check=True, capture_output=True)
    assert found(town.ws.root)["tracking"].state == "ok"


def test_benchmarks_are_to_be_there_and_complete(town):
    town.edit(benchmarks__lvis="data/lvis_of_mine")
    finding = found(town.ws.root)["benchmarks"]
    assert finding.state == "wrong" and finding.found == f"benchmarks.lvis: no folder {town.ws.data / 'lvis_of_mine'}"
    (town.ws.data / "lvis_of_mine").mkdir()
    sets = {"lvis": {"val": {"complete": False}}, "refcoco": {"val": {"complete": True}}}
    (town.ws.data / "benchmark_data").mkdir()
    (town.ws.data / "benchmark_data" / "sets.json").write_text(json.dumps(sets))
    finding = found(town.ws.root)["benchmarks"]
    assert (finding.state, finding.found.rpartition(": ")[2]) == ("warning", "lvis/val")


def test_a_package_of_another_version_is_named_with_the_one_locked(town):
    lock = town.ws.root / "requirements.lock"
    lock.write_text(
        re.sub(r"(?m)^(numpy|PyYAML)==.*$", r"\1==0.1", lock.read_text(), flags=re.IGNORECASE) + "nowhere==3\n"
    )
    finding = found(town.ws.root)["packages"]
    assert finding.state == "warning" and finding.found.startswith("3 of ")
    assert (
        f"numpy {version('numpy')} (locked: 0.1)" in finding.found and "nowhere is missing (locked: 3)" in finding.found
    )


def test_what_the_params_will_take_is_held_against_what_is_free(town, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**30, total=2**31))
    assert found(town.ws.root)["memory"].found == "1.0 of 2.0 GB free, about 2.4 wanted"
    plenty = found(town.ws.root)["disk"]
    links = town.ws.root / "links.txt"
    links.write_text("file_name\tcdn_link\n" + "".join(f"sa_{n:06d}.tar\thttps://x/{n}.tar\n" for n in range(1000)))
    town.edit(shards__source="links.txt", shards__count=None, training__cached_features=False)
    lack = found(town.ws.root)["disk"]
    assert (plenty.state, lack.state) == ("ok", "warning")
    coming = float(lack.found.rpartition("about ")[2].partition(" GB")[0])
    assert coming == pytest.approx(1000 * 10**10 / 2**30 * 1.085, rel=0.01)  # 10 TB of tars, 0.85 of rows
    town.edit(shards__count=2)
    assert "about 20.4 GB" in found(town.ws.root)["disk"].found


def test_more_processes_than_devices_are_wrong_and_so_is_a_hostfile_that_is_not_there(town, monkeypatch):
    town.edit(training__processes=2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    finding = found(town.ws.root)["processes"]
    assert finding.state == "wrong" and "set training.processes to 1" in finding.mend
    town.edit(training__hostfile="hosts")
    finding = found(town.ws.root)["processes"]
    assert finding.found.endswith("hosts is missing") and finding.mend == "write one line `host slots=N` a node"


def test_real_models_want_a_gpu_and_every_process_one(town, monkeypatch):
    town.edit(backbones__sam__model_type="vit_b", training__processes=2)
    for gpus, state, mend in (
        (0, "warning", "use a machine with GPUs"),
        (1, "wrong", "set training.processes to 1"),
        (2, "ok", ""),
    ):
        monkeypatch.setattr("torch.cuda.device_count", lambda gpus=gpus: gpus)
        monkeypatch.setattr("torch.cuda.get_device_name", lambda number: f"card {number}")
        finding = found(town.ws.root)["devices"]
        assert finding.state == state and finding.mend.startswith(mend)
    assert finding.found == "card 0, card 1"


def test_a_clock_behind_the_files_is_told(town):
    os.utime(town.ws.root / "dvc.lock", (time.time(), time.time() + 7200))
    finding = found(town.ws.root)["clock"]
    assert finding.state == "warning" and "s behind" in finding.found and finding.found.endswith("dvc.lock")


def test_a_port_in_use_and_a_lock_of_a_dead_process_are_told(town, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr("orchestration.checkup.traces.PORTS", (taken.getsockname()[1],))
        assert found(town.ws.root)["ports"].found == f"in use: {taken.getsockname()[1]}"
    lock = town.ws.root / ".dvc" / "tmp" / "rwlock"
    lock.write_text(json.dumps({"write": {"data": {"pid": gone(), "cmd": "dvc repro"}}}))
    assert found(town.ws.root)["locks"].state == "warning"
    lock.write_text(json.dumps({"write": {"data": {"pid": os.getpid(), "cmd": "dvc repro"}}}))
    assert found(town.ws.root)["locks"].state == "ok"
    (town.ws.root / ".git" / "index.lock").touch()
    assert found(town.ws.root)["locks"].found.endswith("index.lock is there: git is at work, or was killed")


def test_a_member_that_the_cache_lost_is_found_also_where_data_is_gone(town):
    shutil.rmtree(town.ws.data / "mask_index")
    out = lineage.locked(town.ws, "mask_index")["out"]
    (member, *_) = json.loads((cache_folder(town.ws) / out[:2] / out[2:]).read_text())
    (cache_folder(town.ws) / member["md5"][:2] / member["md5"][2:]).unlink()
    finding = found(town.ws.root)["cache"]
    assert finding.state == "warning" and finding.found.endswith("mask_index of dvc.lock first")


def test_a_run_of_all_stops_at_what_is_wrong_before_its_first_stage(town):
    town.edit(benchmarks__vqa="data/vqa_of_mine", tracking__uri="http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"^benchmarks: benchmarks\.vqa: no folder .*; correct benchmarks in params\.yaml$"
    ):
        before_run(town.ws, whole=True)
    with pytest.raises(UserError, match="vqa_of_mine"):
        watched.run(town.ws, town.params, None, quiet=True)
    told = {finding.name: finding.state for finding in before_run(town.ws, whole=False)}
    assert told == {"tracking": "warning", "benchmarks": "wrong"}


def test_outside_a_checkout_that_alone_is_said(tmp_path):
    (finding,) = checkup(tmp_path)
    assert (finding.name, finding.state) == ("workspace", "wrong")
    assert "no params.yaml and dvc.yaml here or above" in finding.found


def test_a_check_that_raises_without_a_word_is_named_by_its_kind(town, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("shutil.disk_usage", fail)
    assert (found(town.ws.root)["disk"].state, found(town.ws.root)["disk"].found) == ("wrong", "ZeroDivisionError")
