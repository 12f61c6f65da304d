"""A line that is killed at random moments, several times in a row, ends with the bytes of one that was left alone.

`make faults` runs more rounds and prints a table of counts (docs/reliability.md has one).
"""

import json
import os
import random
import time
from collections import Counter

import pytest
from disturbed import kill, left_behind, left_running, not_in_cache, said, start, tracked, untruthful

ROUNDS = int(os.environ.get("ARRCOC_FAULT_ROUNDS", "1"))
KILLS = 7  # in a row, of one workspace
KINDS = ("group", "parent", "rank")
LONGEST = 45.0  # seconds until a kill

pytestmark = pytest.mark.slow
COUNTS: Counter[str] = Counter()


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_killed_again_and_again_it_ends_the_same(finished, make_checkout, capsys, round_: int) -> None:
    reference, rng = tracked(finished.root), random.Random(round_)
    checkout = make_checkout("smoke", f"disturbed_{round_}_")
    for number in range(KILLS):
        disturb(checkout, reference, KINDS[number % len(KINDS)], rng)
    run = start(checkout)
    outcome = json.loads(run.communicate(timeout=1200)[0])
    assert run.returncode in (0, 1), said(checkout)[-3000:]  # 1: smoke's scores miss the milestones
    assert outcome["failed"] == []
    assert [name for name, md5 in tracked(checkout.root).items() if reference.get(name) != md5] == []
    assert set(tracked(checkout.root)) == set(reference)
    assert left_running(checkout.root) == []
    assert left_behind(checkout.root) == []
    assert not_in_cache(checkout.root) == []
    assert json.loads(checkout.run("dvc", "status", "--json").stdout) == {}
    COUNTS["rounds that ended with the same bytes"] += 1
    with capsys.disabled():
        print(f"\n{json.dumps(COUNTS, indent=1)}")


def disturb(checkout, reference: dict[str, str], kind: str, rng: random.Random) -> None:
    """Start a run, kill it at a random moment, and look at what it left."""
    run = start(checkout)
    deadline = time.monotonic() + rng.uniform(1, LONGEST)
    while time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.1)
    while not (hit := kill(run, kind)) and run.poll() is None:  # no training process yet
        time.sleep(0.1)
    COUNTS[f"killed: {kind}" if hit else "ended before the kill"] += 1
    assert left_running(checkout.root) == [], kind
    assert "Traceback" not in said(checkout), said(checkout)[-3000:]
    assert untruthful(checkout, reference) == []
