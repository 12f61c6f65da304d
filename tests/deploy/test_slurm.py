"""The line on a real Slurm of two nodes, with the commands that a user types."""

import json
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ml.pipeline import TRAINING
from tests.clusters.slurm import SlurmCluster, slurm_cluster
from tests.clusters.waiting import wait_for
from tests.conftest import BIN, Checkout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with slurm_cluster() as found:
        yield found


def set_params(checkout: Checkout, launcher: str) -> None:
    """The smoke preset in two processes, its second training long enough to be met at work."""
    params = yaml.safe_load((checkout.root / "params.yaml").read_text())
    params["training"] |= {"launcher": launcher, "processes": 2, "validations": 4}
    params["slurm"] |= {"nodes": 2}
    params["text_region_grounding"] |= {"steps": 150}
    params["relevance_learning"] |= {"steps": 150}
    (checkout.root / "params.yaml").write_text(yaml.safe_dump(params))


def at_work(checkout: Checkout, stage: str) -> str:
    """The id of a stage's job, once it has saved for the first time."""
    wait_for((checkout.root / "data" / ".resume" / stage / "latest").exists, 600)
    return str(json.loads((checkout.root / "data" / ".resume" / "slurm" / stage / "job.json").read_text())["job"])


def disturb(checkout: Checkout, cluster: SlurmCluster) -> None:
    """Requeue the second training in the middle, and take a node away from the third."""
    job = at_work(checkout, "text_region_grounding")
    cluster.do("scontrol", "requeue", job)
    wait_for(lambda: "Restarts=1" in cluster.do("scontrol", "show", "job", job), 90)
    cluster.do("scontrol", "update", f"JobId={job}", "StartTime=now")
    job = at_work(checkout, "relevance_learning")
    cluster.kill_node("n2")
    wait_for(lambda: "Restarts=1" in cluster.do("scontrol", "show", "job", job), 120)
    cluster.node("n2")


def test_the_line_on_two_nodes_disturbed_has_the_bytes_of_one_undisturbed_here(
    make_checkout: Callable[..., Checkout], cluster: SlurmCluster
) -> None:
    here, there = make_checkout("smoke", "here"), make_checkout("smoke", "there")
    set_params(here, "deepspeed")
    set_params(there, "slurm")
    last = f"+{TRAINING[-1]}"
    here.run("arrcoc", "run", "--select", last)
    trouble = threading.Thread(target=disturb, args=(there, cluster))
    trouble.start()
    done = there.run("arrcoc", "run", "--select", last, timeout=1200)
    trouble.join()
    assert len(re.findall("goes on from step", done.stderr)) == 2
    for stage in TRAINING:
        for file in (here.root / "data" / stage).iterdir():
            assert file.read_bytes() == (there.root / "data" / stage / file.name).read_bytes(), file
    assert here.json("dvc", "status", "--json") == there.json("dvc", "status", "--json")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for Ray, whose sockets' paths may have 107 letters."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_shards_in_an_allocation(
    make_checkout: Callable[..., Checkout],
    cluster: SlurmCluster,
    tmp_path: Path,
    short: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkout = make_checkout("smoke", "shards")
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(checkout.root))
    monkeypatch.setenv("ARRCOC_NODE_ADDRESS", "127.0.0.1")
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    script = ["deploy/slurm/shards.sbatch", "--json", "--select", "+filtered_masks"]
    said = subprocess.run(
        ["sbatch", "--wait", "--nodes=2", f"--output={tmp_path}/out", *script],
        cwd=checkout.root,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert said.returncode == 0, (tmp_path / "out").read_text()[-4000:]
    made = ["sa1b_shards", "mask_index", "filtered_masks"]
    assert f'"materialized": {json.dumps(made)}' in (tmp_path / "out").read_text()
    stages = {stage["name"]: stage for stage in checkout.json("arrcoc", "status", "--json")["stages"]}
    assert [stages[name]["state"] for name in made] == ["fresh"] * 3
    wait_for(lambda: not cluster.do("squeue", "-h"))
