"""Two `arrcoc run` at once in one workspace, as two processes: the second is refused, the first is not disturbed."""

import json
import os
import subprocess
import sys
import time

import pytest

from orchestration.freshness.lock import busy

FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]
RUN = [sys.executable, "-m", "orchestration.cli", "run", "--select", "+filtered_masks", "--json"]


@pytest.mark.slow
def test_the_second_is_refused_in_one_line_and_the_first_goes_on(town):
    town.edit(toytown__images_per_shard=120)  # seconds of drawing, in which the second comes
    env = os.environ | {"PYTHONPATH": str(town.ws.root)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(RUN, cwd=town.ws.root, env=env, **pipes) as first:
        while not busy(town.ws):
            assert first.poll() is None
            time.sleep(0.05)
        second = subprocess.run(RUN, cwd=town.ws.root, env=env, capture_output=True, text=True)
        wanted = f"another run is under way here (process {first.pid}); wait for it to end"
        assert second.returncode == 2
        assert wanted in json.loads(second.stdout)["error"]
        assert second.stderr.strip().splitlines() == [f"arrcoc: {town.ws.root}: {wanted}"]
        outcome = json.loads(first.communicate()[0])
    assert (outcome["materialized"], outcome["failed"]) == (FIRST, [])
    assert town.stale() == set()
