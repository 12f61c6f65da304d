"""Whether what is not there is found: shares against counts by hand, AUC against all pairs."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.evaluation.metrics import basics as metrics
from ml.evaluation.metrics.absence_scores import absence_scores, answers, auc
from ml.evaluation.predictions.files import as_tables, prediction_files

ASKED = [  # image, kind, whether it is there, scores of its masks: None without a row
    ("a", "name", True, [0.6, 0.9]),
    ("a", "name", False, []),
    ("a", "relation", True, [0.5]),
    ("b", "name", True, [0.7]),
    ("b", "relation", False, [0.2, 0.7, 0.1]),
    ("b", "relation", False, [0.5]),
    ("c", "name", False, None),
    ("c", "attribute", True, None),
]
DECIDED = ("found where absent", "missed where present", "AUC")
SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), min_size=1, max_size=12)


def written(folder: Path, asked: list[tuple]) -> tuple[Path, Path]:
    """Questions with their truth as `benchmark_data` has them, and the predictions."""
    data, out = folder / "data", folder / "predictions"
    rows: list[dict[str, Any]] = [
        {"query_id": str(n), "split": "val", "image": f"absence/{image}.jpg", "text": "a thing", "kind": kind}
        for n, (image, kind, _, _) in enumerate(asked)
    ]
    truth = [{"query_id": str(n), "present": present} for n, (_, _, present, _) in enumerate(asked)]
    for part, table in (("queries", rows), ("truth", truth)):
        (data / part).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(table), data / part / "absence.parquet")
    said = [
        {"query_id": row["query_id"], "image": row["image"], "scores": scores}
        for row, (_, _, _, scores) in zip(rows, asked, strict=True)
        if scores is not None
    ]
    with prediction_files(out) as append:
        append(as_tables({"absence": said}))
    return data, out


def test_the_highest_score_decides_and_nothing_said_is_nothing_found(tmp_path: Path) -> None:
    found = answers(*written(tmp_path, ASKED))
    np.testing.assert_allclose(found.highest, [0.9, 0, 0.5, 0.7, 0.7, 0.5, 0, 0], atol=1e-6)
    assert found.present.tolist() == [present for _, _, present, _ in ASKED]


def test_scores_are_those_counted_by_hand(tmp_path: Path) -> None:
    scores, _, groups = absence_scores(*written(tmp_path, ASKED), seed=0)
    assert [*scores] == [*DECIDED, "calibration error"]
    assert scores["found where absent"] == 1 / 4 and scores["missed where present"] == 2 / 4
    assert scores["AUC"] == (4 + 2.5 + 3.5 + 1) / 16  # of 0.9, 0.5, 0.7 and 0 against 0, 0.7, 0.5, 0
    bins = abs(0 - 1) + abs(1.0 - 1) + abs(1.4 - 1) + abs(0.9 - 1)  # three at 0, two at 0.5, two at 0.7, one at 0.9
    assert scores["calibration error"] == pytest.approx(bins / 8, abs=1e-6)
    assert {kind: count for kind, (_, count) in groups.items()} == {"attribute": 1, "name": 4, "relation": 3}
    assert groups["relation"][0] == {"found where absent": 1 / 2, "missed where present": 1, "AUC": 1 / 4}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [True, False])
def test_a_side_without_questions_has_no_scores(tmp_path: Path, side: bool) -> None:
    scores, intervals, groups = absence_scores(*written(tmp_path, [row for row in ASKED if row[2] == side]), seed=0)
    known = "missed where present" if side else "found where absent"
    assert [*intervals] == [known] == [name for name in DECIDED if np.isfinite(scores[name])]
    assert groups["name"][0] == pytest.approx(dict.fromkeys(DECIDED, math.nan) | {known: 0}, nan_ok=True)


@given(SCORES, SCORES)
def test_the_area_is_the_share_of_pairs_in_order(present: list[float], absent: list[float]) -> None:
    pairs = [(high > low) + (high == low) / 2 for high in present for low in absent]
    assert auc(present, absent) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


def many(images: int, each: int = 8) -> list[tuple]:
    """Questions whose answers differ, half of them of what is there."""
    rng = np.random.default_rng(images)
    asked = [(str(n % images), "name", n // images % 2 == 0) for n in range(each * images)]
    return [(*row, [float(np.clip(rng.normal(0.6 if row[2] else 0.4, 0.3), 0, 1))]) for row in asked]


def test_intervals_hold_the_scores_and_shrink_with_more_images(tmp_path: Path) -> None:
    widths = []
    for images in (10, 160):
        scores, intervals, _ = absence_scores(*written(tmp_path / str(images), many(images)), seed=0)
        assert tuple(intervals) == DECIDED
        assert all(low < scores[name] < high for name, (low, high) in intervals.items())
        widths.append([high - low for low, high in intervals.values()])
    assert (np.array(widths[0]) > 1.5 * np.array(widths[1])).all()


def test_intervals_are_those_of_sums_over_images(tmp_path: Path) -> None:
    data, out = written(tmp_path, many(10))
    said, (_, intervals, _) = answers(data, out), absence_scores(data, out, seed=5)
    for name, of, wrong in (
        ("found where absent", ~said.present, said.highest > 0.5),
        ("missed where present", said.present, said.highest <= 0.5),
    ):
        assert intervals[name] == pytest.approx(metrics.bootstrap(of & wrong, of, said.images, seed=5))


def test_questions_to_one_image_stand_or_fall_together(tmp_path: Path) -> None:
    scores, intervals, _ = absence_scores(*written(tmp_path, many(1, 40)), seed=0)
    assert intervals == {name: (scores[name], scores[name]) for name in DECIDED} and 0 < scores["AUC"] < 1
