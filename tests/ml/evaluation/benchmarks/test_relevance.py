"""The relevance benchmark's reader."""

import json
from pathlib import Path

import pytest

from ml.evaluation.benchmarks.relevance import read_relevance


def test_masks_are_input_and_relevance_is_truth(folders: dict[str, Path]) -> None:
    (benchmark,) = read_relevance(folders["relevance"])
    assert [e.truth for e in benchmark.examples[:2]] == [{"relevance": [1.0, 0.1, 0.0]}, {"relevance": [0.0, 0.6, 1.0]}]
    assert len(benchmark.regions[0]["counts"]) == 3 and set(benchmark.regions[0]) == {"image", "counts"}
    assert benchmark.region_truth[0]["parents"] == [-1, -1, 1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row["queries"][0].update(relevance=[1.0]), "not 3 numbers"),
        (lambda row: row["queries"][0].update(relevance=[1.0, 2.0, 0.0]), "not 3 numbers"),
        (lambda row: row["queries"][0].update(text=""), "empty query"),
        (lambda row: row["masks"][0].update(level="thing"), "level 'thing'"),
        (lambda row: row["masks"][0].update(parent=0), "parent"),
        (lambda row: row["masks"][0].update(counts="??"), "mask 0"),
        (lambda row: row["masks"][0].update(parent=float("inf")), "OverflowError"),
        (lambda row: row["masks"][0].update(size=[96]), "IndexError"),
        (lambda row: row["masks"][0].update(size=96), "TypeError"),
        (lambda row: row.update(masks=[]), "no masks"),
        (lambda row: row.update(masks=[1, 2]), "TypeError"),
        (lambda row: row.update(queries=[{"text": "car", "kind": "x", "relevance": [0, 0, 0]}, 5]), "TypeError"),
        (lambda row: row.update(file_name="gone.jpg"), "image is missing"),
    ],
)
def test_broken_rows_are_rejected(folders: dict[str, Path], change, reason: str) -> None:
    path = folders["relevance"] / "relevance_val.jsonl"
    first, second = path.read_text().splitlines()
    row = json.loads(first)
    change(row)
    path.write_text(json.dumps(row) + "\n" + second + "\n")
    (benchmark,) = read_relevance(folders["relevance"])
    assert len(benchmark.rejected) == 1 and reason in benchmark.rejected[0].reason
    assert any(e.query_id.startswith("5_") for e in benchmark.examples)
