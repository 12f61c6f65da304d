"""Ctrl-C in a terminal, in the middle of a stage."""

import os
import signal
import subprocess
import sys
from pathlib import Path


def test_an_interrupt_is_told_in_one_line_by_one_process(make_checkout) -> None:
    checkout = make_checkout("toytown", "interrupted")
    env = os.environ | {"PYTHONPATH": str(checkout.root), "DAGSTER_HOME": str(checkout.root / ".dagster")}
    arrcoc = Path(sys.executable).parent / "arrcoc"
    with subprocess.Popen(
        [arrcoc, "run", "--select", "sa1b_shards,mask_index"],
        cwd=checkout.root,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whatever a shell's `&` has made of it
    ) as run:
        said = [next(run.stderr)]
        while "1 of 4" not in said[-1]:  # the first shard is done, the stage is not
            said.append(next(run.stderr))
        os.killpg(run.pid, signal.SIGINT)
        said += list(run.stderr)
    text = "".join(said)
    assert run.returncode == 130, text
    assert "Traceback" not in text
    assert text.count("interrupted") <= 1
