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
        (lambda row: row["queries"][0].update(text=""), "empty text"),
        (lambda row: row["masks"][0].update(level="thing"), "level 'thing'"),
        (lambda row: row["masks"][0].update(parent=0), "parent"),
        (lambda row: row["masks"][0].update(counts="??"), "mask 0"),
        (lambda row: row["masks"][0].update(parent=float("inf")), "parent: no integer id"),
        (lambda row: row["masks"][0].update(size=[96]), "size: not 1 to 65535 pixels"),
        (lambda row: row["masks"][0].update(size=96), "size: not 1 to 65535 pixels"),
        (lambda row: row.update(masks=[]), "no masks"),
        (lambda row: row.update(masks=[1, 2]), "a mask that is no object"),
        (lambda row: row.update(queries=[{"text": "car", "kind": "x", "relevance": [0, 0, 0]}, 5]), "no object"),
        (lambda row: row["masks"][1].update(counts="PR1PR1"), "mask 1"),
        (lambda row: row["masks"][1].update(counts=[96 * 128]), "mask 1: empty mask"),
        (lambda row: row["queries"][0].update(relevance=[True, 0.0, 0.0]), "no number"),
        (lambda row: row["queries"][0].update(text="car", relevance=[10**400, 0, 0]), "no finite number"),
        (lambda row: row.update(file_name="/etc/hostname"), "a path that leaves the benchmark's folder"),
        (lambda row: row.update(file_name="../1.jpg"), "a path that leaves the benchmark's folder"),
        (lambda row: row.update(file_name="x" * 5000), "image is missing"),
        (lambda row: row.update(image_id=[1]), "no integer id"),
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


def test_lines_end_at_line_feeds_alone_and_a_picture_comes_once(folders: dict[str, Path]) -> None:
    path = folders["relevance"] / "relevance_val.jsonl"
    first, second = path.read_text().splitlines()
    row = json.loads(first)
    row["queries"][0]["text"] = "the\u2028red\x85car"
    deep = '{"masks": ' + "[" * 100_000
    path.write_text("\n".join([json.dumps(row, ensure_ascii=False), second, first, deep]) + "\n")
    (benchmark,) = read_relevance(folders["relevance"])
    assert benchmark.examples[0].text == "the\u2028red\x85car"
    assert [(r.item, r.reason) for r in benchmark.rejected] == [
        ("line 3", "comes twice; the first stays"),
        ("line 4", "not readable as JSON (nested too deeply)"),
    ]
    assert len(benchmark.examples) == 4 and len(benchmark.regions) == 2 and benchmark.lost == 3
