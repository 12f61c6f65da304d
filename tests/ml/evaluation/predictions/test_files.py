"""Files of predictions grow as rows come, hold the same rows however they came, and appear whole or not at all."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml.evaluation.predictions import files
from ml.evaluation.predictions.files import Row, as_tables, read

ROWS: list[Row] = [
    {
        "query_id": f"{n}@a.jpg",
        "image": f"lvis/{n // 3}.jpg",
        "boxes": [[0.0, 1.0, 2.0, float(n)]] * (n % 3),
        "counts": ["abc"] * (n % 3),
        "scores": [n / 16] * (n % 3),
        "relevance": [0.5] * (n % 3),
        "grounding": [0.25] * (n % 3),
        "levels": ["object"] * (n % 3),
        "map_box": None,
        "map_counts": None,
        "point": None,
    }
    for n in range(40)
]


@pytest.mark.parametrize("held_back", [0, 2_000, 2**24])
def test_rows_that_come_in_pieces_are_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_back: int) -> None:
    monkeypatch.setattr(files, "ROW_GROUP", held_back)
    with files.prediction_files(tmp_path) as append:
        for start in range(0, len(ROWS), 3):
            append(as_tables({"lvis": ROWS[start : start + 3], "vqa": [{"query_id": str(start), "text": "red"}]}))
            assert not list(tmp_path.glob("*.parquet"))
    assert pq.read_table(tmp_path / "lvis.parquet").to_pylist() == ROWS
    assert list(read(tmp_path / "vqa.parquet")) == [str(start) for start in range(0, len(ROWS), 3)]
    groups = pq.read_metadata(tmp_path / "lvis.parquet").num_row_groups
    assert groups == 14 if held_back == 0 else groups == 1 if held_back > 10_000 else 1 < groups < 14


def test_rows_are_on_disk_before_the_last_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held back does not grow with the rows."""
    monkeypatch.setattr(files, "ROW_GROUP", 10_000)
    with files.prediction_files(tmp_path) as append:
        for _ in range(50):
            append(as_tables({"lvis": ROWS}))
        assert next(tmp_path.glob(".lvis*")).stat().st_size > 10_000


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), files.prediction_files(tmp_path) as append:
        append(as_tables({"lvis": ROWS}))
        raise ValueError("broken")
    assert not list(tmp_path.iterdir())
