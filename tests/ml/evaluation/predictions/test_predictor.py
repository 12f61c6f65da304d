"""The predictor's own arithmetic: agreement with the grounding map, its region and its peak."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml.evaluation.predictions.predictor import (
    QUERIES_PER_BATCH,
    Predictor,
    TorchHeads,
    agreement,
    map_region,
    peak,
)

UNIT = st.floats(0, 1, width=32)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float32, (2, 4, 5), elements=UNIT), hnp.arrays(bool, (3, 4, 5)))
def test_agreement_is_mean_inside_minus_mean_outside(maps: np.ndarray, masks: np.ndarray) -> None:
    got = agreement(torch.from_numpy(maps), torch.from_numpy(masks)).numpy()
    for q, heat in enumerate(maps):
        for n, mask in enumerate(masks):
            inside = heat[mask].mean() if mask.any() else 0.0
            outside = heat[~mask].mean() if not mask.all() else 0.0
            assert abs(got[q, n] - (inside - outside)) < 1e-4


def test_map_region_is_the_largest_part() -> None:
    heat = np.zeros((16, 16), np.float32)
    heat[2:4, 2:4] = 1
    heat[8:14, 6:14] = 0.9
    region = map_region(heat, (64, 32))
    rows, columns = np.nonzero(region)
    assert abs(rows.min() - 32) <= 2 and abs(rows.max() - 55) <= 2
    assert abs(columns.min() - 12) <= 1 and abs(columns.max() - 27) <= 1
    assert map_region(np.full((4, 4), 0.1, np.float32), (8, 8)).any()


def test_peak_is_in_pixels() -> None:
    heat = np.zeros((4, 8), np.float32)
    heat[3, 0] = 1
    assert peak(heat, (40, 160)) == (10.0, 35.0)


def test_answers_do_not_depend_on_the_company_of_queries(predictor: Predictor) -> None:
    image = (np.random.default_rng(0).random((96, 128, 3)) * 255).astype(np.uint8)
    scene, together = predictor.predict(image, ["red car", "a blue house left of the tree", "ball"] * 12)
    alone = predictor.answer(scene, ["a blue house left of the tree"])
    n = len(scene.proposals.masks)
    assert together.scores.shape == (36, n) and together.maps.shape == (36, 24, 32)
    np.testing.assert_allclose(together.relevance[34], alone.relevance[0], atol=1e-5)
    weighted = together.relevance + predictor.params.grounding_weight * together.grounding
    np.testing.assert_allclose(together.scores, weighted, atol=1e-6)


def test_an_image_without_proposals_is_answered_with_a_map_alone(predictor: Predictor) -> None:
    nothing = predictor.params.model_copy(update={"predicted_iou": 1e9})
    strict = Predictor(predictor.sam, predictor.heads, nothing)
    _, answers = strict.predict(np.zeros((96, 128, 3), np.uint8), ["red car"])
    assert answers.scores.shape == (1, 0) and answers.maps.shape == (1, 24, 32)
    assert answers.best(0, 5).tolist() == []


@pytest.mark.parametrize("room", [1000, QUERIES_PER_BATCH])
def test_a_text_is_encoded_once_for_all_images(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Also where the bank forgets: the same batches come again."""
    heads = TorchHeads(predictor.heads.model, predictor.heads.texts.clip)
    heads.texts._room = room
    fresh = Predictor(predictor.sam, heads, predictor.params)
    encoded: list[int] = []
    encode = heads.texts.clip.encode_text
    monkeypatch.setattr(heads.texts.clip, "encode_text", lambda ids: (encoded.append(len(ids)), encode(ids))[1])
    names = [f"thing {n}" for n in range(3 * QUERIES_PER_BATCH)]
    scenes = [fresh.look(np.full((96, 128, 3), shade, np.uint8)) for shade in (0, 255)]
    first, _, again = (fresh.answer(scenes[place], names).relevance for place in (0, 1, 0))
    assert sum(encoded) == len(names) and np.array_equal(first, again)
    if room >= len(names):
        fresh.answer(scenes[1], names[::-1])
        assert sum(encoded) == len(names)


def test_queries_are_answered_in_batches_and_maps_kept_where_they_are_wanted(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = predictor.look(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))
    sizes: list[int] = []
    heads = predictor.heads.heads
    monkeypatch.setattr(predictor.heads, "heads", lambda *given: (sizes.append(len(given[-1])), heads(*given))[1])
    texts = [f"thing {n}" for n in range(2 * QUERIES_PER_BATCH + 3)]
    alone, shown = predictor.answer(scene, texts, maps=False), predictor.answer(scene, texts)
    assert sizes == 2 * [QUERIES_PER_BATCH, QUERIES_PER_BATCH, 3]
    assert alone.maps.shape == (0, 24, 32) and shown.maps.shape == (len(texts), 24, 32)
    assert np.array_equal(alone.relevance, shown.relevance) and np.array_equal(alone.scores, shown.scores)
