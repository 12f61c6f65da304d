"""Metrics against brute force, scipy and pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from scipy import stats

from ml.evaluation.metrics import basics as metrics
from ml.masks import Masks

BOX = st.tuples(*[st.floats(0, 50), st.floats(0, 50), st.floats(0.5, 40), st.floats(0.5, 40)])
BOXES = st.lists(BOX, min_size=1, max_size=6)


@settings(deadline=None)
@given(BOXES, BOXES)
def test_box_iou_is_pycocotools(a: list, b: list) -> None:
    expected = coco_mask.iou(np.array(a), np.array(b), [0] * len(b))
    np.testing.assert_allclose(metrics.box_iou(a, b), expected, atol=1e-12)


def test_empty_boxes_have_no_overlap() -> None:
    assert metrics.box_iou([[1, 1, 0, 0]], [[1, 1, 0, 0]]) == 0
    assert metrics.best_iou([[0, 0, 1, 1]], []).tolist() == [0]
    assert metrics.best_iou([], [[0, 0, 1, 1]]).shape == (0,)


@settings(deadline=None)
@given(BOXES, BOXES, st.integers(1, 6))
def test_recall_is_what_the_definition_says(ranked: list, truth: list, k: int) -> None:
    hit = any(coco_mask.iou(np.array([box]), np.array(truth), [0] * len(truth)).max() >= 0.5 for box in ranked[:k])
    assert metrics.hit_within(metrics.best_iou(ranked, truth), k) == hit


@given(BOXES)
def test_merged_box_touches_all_and_is_smallest(boxes: list) -> None:
    x, y, w, h = metrics.merged_box(boxes)
    a = np.array(boxes)
    low, high = a[:, :2].min(0), (a[:, :2] + a[:, 2:]).max(0)
    np.testing.assert_allclose([x, y, x + w, y + h], [*low, *high])


def test_pointing_counts_borders_and_any_box() -> None:
    boxes = [[0, 0, 10, 10], [20, 20, 5, 5]]
    assert [metrics.point_hit(p, boxes) for p in ((10, 10), (21, 24), (15, 15), (26, 20))] == [1, 1, 0, 0]


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(bool, (2, 9, 7)))
def test_mask_overlap_is_pixel_counting(dense: np.ndarray) -> None:
    ours, truth = Masks.from_dense(dense).to_strings()
    assert metrics.mask_overlap(ours, truth, (9, 7)) == ((dense[0] & dense[1]).sum(), (dense[0] | dense[1]).sum())
    assert metrics.mask_overlap(None, truth, (9, 7)) == (0, dense[1].sum())


VALUES = hnp.arrays(float, 12, elements=st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]))


@settings(deadline=None)
@given(VALUES, VALUES)
def test_correlations_are_scipys_also_with_ties(a: np.ndarray, b: np.ndarray) -> None:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert np.isnan(metrics.pearson(a, b))
        return
    assert metrics.pearson(a, b) == pytest.approx(stats.pearsonr(a, b)[0], abs=1e-9)
    assert metrics.spearman(a, b) == pytest.approx(stats.spearmanr(a, b)[0], abs=1e-9)


@settings(deadline=None)
@given(VALUES, hnp.arrays(bool, 12))
def test_calibration_error_is_the_sum_over_bins(scores: np.ndarray, positive: np.ndarray) -> None:
    expected = 0.0
    for b in range(15):
        inside = np.array([min(int(s * 15), 14) == b for s in scores])
        if inside.any():
            expected += inside.mean() * abs(scores[inside].mean() - positive[inside].mean())
    assert metrics.calibration_error(scores, positive) == pytest.approx(expected)


def test_consistency_compares_a_parent_with_its_strongest_child() -> None:
    parents = [-1, 0, 0, 2, -1]  # 0 has children 1 and 2, and 2 has 3; 4 stands alone
    relevance = [0.9, 0.2, 0.6, 1.0, 0.5]
    np.testing.assert_allclose(metrics.parent_agreements(relevance, parents), [1 - 0.3, 1 - 0.4])
    assert len(metrics.parent_agreements([0.5, 0.5], [-1, -1])) == 0


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        rates = rng.beta(6, 2, 60)  # images differ: questions to one image are not independent
        hits = (rng.random((60, 5)) < rates[:, None]).astype(float).ravel()
        low, high = metrics.bootstrap(hits, np.ones(300), np.repeat(np.arange(60), 5), trial, draws=300)
        covered += low <= 0.75 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_bootstrap_of_unequal_totals_is_a_ratio_of_sums() -> None:
    low, high = metrics.bootstrap([10, 0], [10, 90], ["a", "b"], seed=0)
    assert (low, high) == (0.0, 1.0)
    assert metrics.bootstrap([1, 1], [2, 2], ["a", "b"], seed=0) == (0.5, 0.5)
