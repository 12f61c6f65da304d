"""What a user types, and what they are told when it is wrong: one line, exit code 2, no stack trace."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ml.pipeline import SHARDED, WHOLE
from orchestration.cli import OFFLINE, main

HEAVY = ["torch", "dagster", "mlflow", "dvc", "pydantic", "yaml", "pyarrow", "numpy", "rich"]


@pytest.fixture(scope="module")
def checkout(make_checkout) -> Path:
    return make_checkout("smoke").root


@pytest.fixture
def arrcoc(monkeypatch, capsys, checkout):
    """Run a command in a copy of the checkout: (exit code, stdout, stderr)."""

    def run(*arguments: str, cwd: Path = checkout) -> tuple[int, str, str]:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["arrcoc", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    for name in OFFLINE:  # what main() sets is undone after the test
        monkeypatch.setenv(name, "1")
    return run


def test_a_model_may_come_from_a_hub():
    """Toytown needs none; a tag of open_clip's does, and whoever wants no network says so himself."""
    assert "HF_HUB_OFFLINE" not in OFFLINE and OFFLINE["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_help_loads_nothing_heavy():
    code = f"import sys, orchestration.cli; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_stale_is_known_without_what_the_stages_import():
    heavy = ["torch", "dagster", "mlflow", "dvc", "pyarrow", "numpy", "requests", "boto3"]
    code = f"import sys, orchestration.freshness.staleness; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command_and_the_exit_codes(arrcoc):
    code, out, _ = arrcoc("--help")
    assert code == 0
    for command in ("run", "status", "stage", "report", "ui", "params", "pretrain-backbones", "predict"):
        assert f"\n  {command} " in out
    assert "Exit codes: 0 done, 1 a gate or milestone failed, 2" in out


def test_status_of_an_empty_workspace_is_one_object_with_all_stages_missing(arrcoc):
    code, out, err = arrcoc("status", "--json")
    stages = json.loads(out)["stages"]
    assert (code, err) == (0, "")
    assert {stage["name"] for stage in stages} == {*SHARDED, *WHOLE}
    assert all(stage["state"] == "missing" and stage["reasons"] for stage in stages)
    assert next(s for s in stages if s["name"] == "mask_index")["shards"] == {"fresh": 0, "stale": 0, "missing": 2}


def test_a_dry_run_says_what_it_would_run(arrcoc):
    code, out, _ = arrcoc("run", "--dry-run", "--json", "--select", "+mask_index")
    assert (code, json.loads(out)) == (0, {"would_run": ["sa1b_shards", "mask_index"]})


def test_the_checkup_is_one_object_and_its_code_says_whether_anything_is_wrong(arrcoc, checkout, tmp_path):
    code, out, err = arrcoc("doctor", "--json")
    findings = json.loads(out)["checks"]
    assert (code, err) == (0, "")
    assert all(set(finding) == {"name", "state", "found", "wanted", "mend"} for finding in findings)
    (tmp_path / "dvc.yaml").write_bytes((checkout / "dvc.yaml").read_bytes())
    (tmp_path / "params.yaml").write_text("seed: [")
    code, out, _ = arrcoc("doctor", cwd=tmp_path)
    assert code == 2
    assert re.search(r"params\.yaml +wrong ", out)
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["stage", "mask_idnex"], "stage 'mask_idnex' is unknown; choose from sa1b_shards"),
        (["stage", "sa1b_shards", "--shard", "sa_000017"], "no shard 'sa_000017'; there are sa_000000 to sa_000001"),
        (["stage", "backbones", "--shard", "sa_3"], "backbones: found --shard sa_3, but it is one piece; leave"),
        (["stage", "mask_index"], "mask_index: data/shards is missing; run sa1b_shards first"),
        (["run", "--dry-run", "--select", "mask_idnex"], "--select 'mask_idnex'"),
        (["report"], "no scores yet; run arrcoc run"),
        (["params", "--preset", "toytwon"], "preset 'toytwon' is unknown; choose from sa1b, smoke, toytown"),
    ],
)
def test_what_is_wrong_is_one_line_with_a_way_out(arrcoc, command, words):
    code, out, err = arrcoc(*command)
    assert (code, out) == (2, "")
    assert err.startswith("arrcoc: ")
    assert words in err
    assert err.count("\n") == 1


def test_outside_a_checkout_it_says_so_also_in_json(arrcoc, tmp_path):
    code, out, err = arrcoc("status", "--json", cwd=tmp_path)
    assert code == 2
    assert "run arrcoc inside a checkout" in json.loads(out)["error"]
    assert "run arrcoc inside a checkout" in err


def test_every_wrong_param_is_named_before_anything_runs(arrcoc, checkout, tmp_path):
    (tmp_path / "dvc.yaml").write_bytes((checkout / "dvc.yaml").read_bytes())
    text = (checkout / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("seed: 0", "seed: zero") + "typo: 1\n")
    code, _, err = arrcoc("run", cwd=tmp_path)
    assert code == 2
    assert "seed: found 'zero'" in err
    assert "typo: unknown key" in err
    assert not (tmp_path / "data").exists()


def test_a_preset_can_be_printed_written_and_checked(arrcoc, checkout, tmp_path):
    (tmp_path / "dvc.yaml").write_bytes((checkout / "dvc.yaml").read_bytes())
    (tmp_path / "params.yaml").write_text("nonsense")
    assert arrcoc("params", "--check", cwd=tmp_path)[0] == 2
    code, shown, _ = arrcoc("params", "--preset", "sa1b", cwd=tmp_path)
    assert (code, (tmp_path / "params.yaml").read_text()) == (0, "nonsense")
    assert arrcoc("params", "--preset", "sa1b", "--write", cwd=tmp_path)[0] == 0
    assert (tmp_path / "params.yaml").read_text().strip() == shown.strip()
    assert "valid" in arrcoc("params", "--check", cwd=tmp_path)[1]


@pytest.mark.parametrize("page", ["dagster", "mlflow"])
def test_a_port_in_use_is_named_with_the_option_to_change_it(arrcoc, page):
    ports = {}
    with socket.socket() as taken, socket.socket() as other:
        for name, probe in (("taken", taken), ("other", other)):
            probe.bind(("127.0.0.1", 0))
            ports[name] = probe.getsockname()[1]
        other.close()
        taken.listen()
        mine, theirs = f"--{page}-port", "--mlflow-port" if page == "dagster" else "--dagster-port"
        code, _, err = arrcoc("ui", mine, str(ports["taken"]), theirs, str(ports["other"]))
    assert code == 2
    assert f"port {ports['taken']} on 127.0.0.1 is in use; choose another with {mine}" in err


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_cannot_be_is_refused(arrcoc, port):
    code, _, err = arrcoc("ui", "--mlflow-port", port)
    assert code == 2
    assert "--mlflow-port" in err and "Traceback" not in err
