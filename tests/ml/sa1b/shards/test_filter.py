"""Which masks are kept, and that every other one is counted with its reason."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_shards import annotation, pair, rectangle, write_tar

from ml.errors import UserError
from ml.labeling.geometry.hierarchy import assign
from ml.params import Filter, Quality
from ml.sa1b.shards.filter import filter_masks, suppress
from ml.sa1b.shards.index import build_index
from ml.workspace.report import Report
from ml.workspace.settings import preset

PARAMS = preset("toytown").filter.model_copy(update={"min_area_fraction": 0.01, "max_area_fraction": 0.9})
SAMPLE = Path(__file__).resolve().parents[5] / "shared/samples/sa1b"


def filtered(tar: Path, params: Filter = PARAMS) -> tuple[list[dict], dict, Report]:
    out = tar.with_name("kept.parquet")
    build_index(tar, tar.with_name("i.parquet"), tar.with_name("r.parquet"), Quality(max_reject_fraction=0))
    report = filter_masks(tar.with_name("i.parquet"), out, params, assign)
    stats = json.loads(pq.ParquetFile(out).metadata.metadata[b"arrcoc.stats"])
    return pq.read_table(out).to_pylist(), stats, report


def with_mask(tmp_path: Path, mask: np.ndarray, **changes: float) -> Path:
    extra = annotation(mask, 99, **changes)
    return write_tar(tmp_path / "a.tar", pair(1, lambda raw: raw["annotations"].append(extra)))


def test_good_masks_are_kept_with_level_and_parent(shard: Path) -> None:
    rows, stats, _ = filtered(shard)
    assert stats == {"present": 9, "kept": 9, "dropped": {}}
    assert [(row["mask_id"], row["level"], row["parent_mask_id"]) for row in rows[:3]] == [
        (10, "object", -1),
        (11, "part", 10),
        (12, "object", -1),
    ]


@pytest.mark.parametrize(
    ("mask", "changes", "reason"),
    [
        (rectangle(0, 0, 0, 0), {}, "empty"),
        (rectangle(24, 0, 4, 30), {"predicted_iou": 0.87}, "predicted_iou"),
        (rectangle(24, 0, 4, 30), {"stability_score": 0.94}, "stability_score"),
        (rectangle(24, 0, 3, 3), {}, "too small"),
        (rectangle(0, 0, 48, 31), {}, "too large"),
        (rectangle(2, 3, 20, 19), {"predicted_iou": 0.9}, "near-duplicate"),
    ],
)
def test_dropped_with_its_reason(tmp_path: Path, mask: np.ndarray, changes: dict, reason: str) -> None:
    rows, stats, report = filtered(with_mask(tmp_path, mask, **changes))
    assert [row["mask_id"] for row in rows] == [10, 11, 12]
    assert stats == {"present": 4, "kept": 3, "dropped": {reason: 1}}
    assert report.rejected == {reason: 1}


def test_of_two_duplicates_the_better_stays(tmp_path: Path) -> None:
    rows, _, _ = filtered(with_mask(tmp_path, rectangle(2, 3, 20, 19), predicted_iou=1.02))
    assert [row["mask_id"] for row in rows] == [11, 12, 99]


def test_the_best_of_too_many_stay_in_order(tmp_path: Path) -> None:
    tar = with_mask(tmp_path, rectangle(24, 0, 4, 30), predicted_iou=1.0)
    rows, stats, _ = filtered(tar, PARAMS.model_copy(update={"max_masks_per_image": 2}))
    assert [row["mask_id"] for row in rows] == [10, 99]
    assert stats["dropped"] == {"too many in the image": 2}


def test_a_parent_that_is_not_chosen_gives_way_to_its_own(tmp_path: Path) -> None:
    """Masks of 20 x 20, 12 x 12 and 5 x 5 in each other; the middle one has the worst scores."""
    nested = [
        annotation(rectangle(2, 2, side, side), side, predicted_iou=iou) for side, iou in ((20, 1), (12, 0.9), (5, 1))
    ]
    tar = write_tar(tmp_path / "a.tar", pair(1, lambda raw: raw.update(annotations=nested)))
    rows, _, _ = filtered(tar, PARAMS.model_copy(update={"max_masks_per_image": 2}))
    assert [(row["mask_id"], row["level"], row["parent_mask_id"]) for row in rows] == [
        (20, "object", -1),
        (5, "part", 20),
    ]


def test_levels_stay_when_the_parent_is_not_chosen(tmp_path: Path) -> None:
    nested = [annotation(rectangle(2, 2, side, side), side, predicted_iou=iou) for side, iou in ((20, 0.9), (5, 1))]
    tar = write_tar(tmp_path / "a.tar", pair(1, lambda raw: raw.update(annotations=nested)))
    rows, _, _ = filtered(tar, PARAMS.model_copy(update={"max_masks_per_image": 1}))
    assert [(row["mask_id"], row["level"], row["parent_mask_id"]) for row in rows] == [(5, "part", -1)]


def test_kept_and_dropped_are_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = [rectangle(*rng.integers(0, 20, 4)) for _ in range(60)]
    made = [
        annotation(mask, n, predicted_iou=float(rng.uniform(0.8, 1)), stability_score=float(rng.uniform(0.9, 1)))
        for n, mask in enumerate(masks)
    ]
    tar = write_tar(tmp_path / "a.tar", pair(1, lambda raw: raw.update(annotations=made)))
    rows, stats, _ = filtered(tar)
    assert stats["present"] == 60 == len(rows) + sum(stats["dropped"].values())
    assert len(stats["dropped"]) >= 4


def test_no_masks_at_all(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", pair(1, lambda raw: raw.update(annotations=[])))
    rows, stats, report = filtered(tar)
    assert (rows, stats["present"], report.numbers["images"]) == ([], 0, 0)


def test_suppress_does_not_chain() -> None:
    """A mask dropped as a duplicate must not drop others."""
    iou = np.array([[1, 0.9, 0.1], [0.9, 1, 0.9], [0.1, 0.9, 1]])
    assert suppress(iou, np.array([0, 1, 2]), 0.5).tolist() == [True, False, True]


def test_a_missing_index(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run mask_index"):
        filter_masks(tmp_path / "none.parquet", tmp_path / "out.parquet", PARAMS, assign)
    assert not (tmp_path / "out.parquet").exists()


def test_real_sample_keeps_nearly_all(tmp_path: Path) -> None:
    """0.88 and 0.95 are the thresholds SA-1B was generated with."""
    if not SAMPLE.exists():
        pytest.skip("the SA-1B sample files are not here")
    tar = write_tar(tmp_path / "a.tar", [(name, (SAMPLE / name).read_bytes()) for name in ("sa_1.jpg", "sa_1.json")])
    everything = preset("toytown").filter.model_copy(update={"min_area_fraction": 0.0, "max_masks_per_image": 500})
    rows, stats, report = filtered(tar, everything)
    assert (stats["present"], stats["kept"]) == (65, 65)
    assert {row["level"] for row in rows} >= {"part", "object"}
    assert report.pictures["masks"].startswith(b"\x89PNG")
