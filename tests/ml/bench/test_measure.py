"""Rows that say by how much ours is better, whatever the unit."""

import json

from ml.bench.measure import in_turns, rates, result, seconds, times


def test_a_ratio_above_one_means_that_ours_is_better() -> None:
    assert times("a", 2.0, 6.0, "peer", "ms")["ratio"] == 3
    assert rates("a", 6.0, 2.0, "peer", "images/s")["ratio"] == 3


def test_the_object_that_is_printed() -> None:
    found = json.loads(json.dumps(result("masks", [times("case", 1 / 3, 1, "pycocotools", "ms")])))
    assert found["name"] == "masks"
    assert found["machine"]
    assert found["rows"] == [
        {"case": "case", "ours": 0.3333, "peer": 1.0, "ratio": 3.0, "peer_name": "pycocotools", "unit": "ms"}
    ]


def test_work_is_called_once_more_than_it_is_timed() -> None:
    calls: list[int] = []
    assert seconds(lambda: calls.append(1), 3) >= 0
    assert len(calls) == 4


def test_two_take_turns() -> None:
    calls: list[str] = []
    assert min(in_turns(lambda: calls.append("ours"), lambda: calls.append("peer"), 2)) >= 0
    assert calls == ["ours", "peer"] * 3
