from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.labeling.scoring import score_labels
from ml.labeling.table import SCHEMA
from ml.masks import Masks


@pytest.fixture
def labels(tmp_path: Path, rectangles: Callable[..., Masks]) -> Path:
    masks = rectangles((0, 0, 10, 10), (50, 50, 10, 10), (80, 80, 10, 10))
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names) | {
        "image_id": 5,
        "height": 100,
        "width": 100,
        "counts": masks.to_strings(),
        "phrases": ["a red car", "a blue house", ""],
        "queries": [
            {"text": "red car", "kind": "attribute", "target": 0},
            {"text": "the car left of the house", "kind": "relation", "target": 1},
        ],
        "relevance": [[0.9, 0.6, 0.1], [0.2, 0.9, 0.1]],
    }
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.Table.from_pylist([row], SCHEMA), path)
    return path


def test_what_is_absent_is_right_where_nothing_is_relevant(labels: Path) -> None:
    (row,) = pq.read_table(labels).to_pylist()
    texts = ["green car", "the house left of the car"]
    absent = [{"text": text, "kind": "absent", "target": -1} for text in texts]
    row |= {"queries": absent, "relevance": [[0.0] * 3] * 2}
    pq.write_table(pa.Table.from_pylist([row], SCHEMA), labels)
    report = score_labels(labels, lambda *_: (np.array([[0.1, 0, 0.4], [0, 0.9, 0]]), [""] * 3))
    assert report.numbers["right target"] == 1 / 2
    assert report.numbers["relevance agreement"] == 5 / 6


def test_shares(labels: Path) -> None:
    def truth(image_id: int, masks: Masks, texts: list[str]) -> tuple[np.ndarray, list[str]]:
        assert (image_id, len(masks)) == (5, 3)
        assert texts == ["red car", "the car left of the house"]
        return np.array([[0.95, 0, 0], [0.9, 0, 0]]), ["a red car", "a red house", "a tree"]

    report = score_labels(labels, truth)
    assert report.numbers == {
        "right target": 1 / 2,
        "relevance agreement": 3 / 6,
        "relevance overlap": 1 / 4,
        "right noun": 1,
        "right words": 1 / 2,
    }
    by_kind = {row["kind"]: row for row in report.tables["label_scores"]}
    assert by_kind["attribute"]["right target"] == 1
    assert by_kind["relation"]["relevance overlap"] == 0
