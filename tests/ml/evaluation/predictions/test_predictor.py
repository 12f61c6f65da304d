"""The predictor's own arithmetic: agreement with the grounding map, its region and its peak."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml.evaluation.predictions.predictor import (
    CROPS_PER_BATCH,
    QUERIES_PER_BATCH,
    Answers,
    Crops,
    Predictor,
    TorchHeads,
    agreement,
    map_region,
    peak,
)
from ml.evaluation.predictions.proposals import Proposals
from ml.labeling.geometry.crops import masked_crops
from ml.masks import Masks
from ml.masks.edges import Edges
from ml.models.frozen.texts import CHUNK

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


def test_map_region_is_the_surest_part() -> None:
    heat = np.zeros((16, 16), np.float32)
    heat[2:5, 2:5] = 1  # 9 cells, each half above
    heat[8:14, 6:14] = 0.55  # 48 cells, each a twentieth above
    rows, columns = np.nonzero(map_region(heat, (16, 16)))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 4, 2, 4)


def test_of_parts_as_sure_map_region_is_the_largest() -> None:
    heat = np.zeros((16, 16), np.float32)
    heat[2:4, 2:4] = 1
    heat[8:14, 6:14] = 0.9
    region = map_region(heat, (64, 32))
    rows, columns = np.nonzero(region)
    assert abs(rows.min() - 32) <= 2 and abs(rows.max() - 55) <= 2
    assert abs(columns.min() - 12) <= 1 and abs(columns.max() - 27) <= 1
    assert map_region(np.full((4, 4), 0.1, np.float32), (8, 8)).any()


def test_map_region_ends_where_the_picture_says() -> None:
    image = np.full((64, 64, 3), 230, np.uint8)
    image[14:38, 22:50] = (30, 60, 200)
    heat = np.zeros((16, 16), np.float32)
    heat[3:10, 5:13] = 0.3  # nothing is above a half
    region = map_region(heat, (64, 64), Edges(image, (64, 64), 4, 2, 1e-4))
    assert (region == (image[..., 0] < 100)).all()


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
    weight = predictor.params.grounding_weight
    mean = np.average([together.relevance, together.grounding], axis=0, weights=[1, weight])
    np.testing.assert_allclose(together.scores, mean, atol=1e-6)


@pytest.mark.parametrize(("scores", "present"), [([0.2, 0.51], True), ([0.5, 0.1], False), ([], False)])
def test_what_is_more_likely_meant_than_not_is_there(scores: list[float], present: bool) -> None:
    row = np.array([scores], np.float32)
    assert Answers(1 - row, row, row, np.zeros((0, 4, 4), np.float32)).present(0) is present


def test_an_image_without_proposals_is_answered_with_a_map_alone(predictor: Predictor) -> None:
    nothing = predictor.params.model_copy(update={"predicted_iou": 1e9})
    strict = Predictor(predictor.sam, predictor.crops, predictor.heads, nothing)
    _, answers = strict.predict(np.zeros((96, 128, 3), np.uint8), ["red car"])
    assert answers.scores.shape == (1, 0) and answers.maps.shape == (1, 24, 32)
    assert answers.best(0, 5).tolist() == []


def test_a_text_is_encoded_once_for_all_images(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = TorchHeads(predictor.heads.model, predictor.heads.texts.clip)
    fresh = Predictor(predictor.sam, predictor.crops, heads, predictor.params)
    encoded: list[int] = []
    encode = heads.texts.clip.encode_text
    monkeypatch.setattr(heads.texts.clip, "encode_text", lambda ids: (encoded.append(len(ids)), encode(ids))[1])
    names = [f"thing {n}" for n in range(3 * QUERIES_PER_BATCH)]
    scenes = [fresh.look(np.full((96, 128, 3), shade, np.uint8)) for shade in (0, 255)]
    first, _, again = (fresh.answer(scenes[place], names).relevance for place in (0, 1, 0))
    assert sum(encoded) == len(names) + CHUNK  # each names itself, and none has an anchor, which is a text as well
    assert np.array_equal(first, again)
    fresh.answer(scenes[1], names[::-1])
    assert sum(encoded) == len(names) + CHUNK


def boxes(*corners: tuple[int, int, int, int]) -> Masks:
    dense = np.zeros((len(corners), 96, 128), bool)
    for mask, (x, y, w, h) in zip(dense, corners, strict=True):
        mask[y : y + h, x : x + w] = True
    return Masks.from_dense(dense)


def test_crops_are_what_the_labels_saw_of_the_masks(predictor: Predictor) -> None:
    """Of proposals and of given masks, in batches, from the image and not from its features."""
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    masks = boxes(*[(3 * n % 90, n, 8 + n % 20, 12) for n in range(CROPS_PER_BATCH + 3)])
    pixels = masked_crops(image, masks, predictor.crops.encoder.eye, predictor.crops.margin)
    wanted = predictor.crops.encoder.encode_image(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    features, ious = predictor.encode(image), np.zeros(len(masks), np.float32)
    scene = predictor.scene(image, features, Proposals(masks, ious, ious))
    bare = predictor.scene(image, features, Proposals(Masks.parse([], (96, 128)), ious[:0], ious[:0]))
    for found in (scene.crops, predictor.given(bare, masks).crops):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    proposed, given = predictor.answer(scene, ["red car"]), predictor.answer(predictor.given(bare, masks), ["red car"])
    assert np.array_equal(proposed.relevance, given.relevance)
    other = predictor.answer(predictor.scene(255 - image, features, scene.proposals), ["red car"])
    assert np.abs(other.relevance - proposed.relevance).max() > 1e-3
    assert np.abs(other.maps - proposed.maps).max() > 1e-4


def test_crops_that_are_known_are_not_seen_again(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    scene = predictor.given(predictor.look(image), boxes((5, 5, 20, 20), (60, 40, 30, 30)))
    wanted = predictor.answer(scene, ["red car"])
    monkeypatch.setattr(Crops, "embed", lambda *_: pytest.fail("seen again"))
    assert np.array_equal(predictor.answer(scene, ["red car"]).scores, wanted.scores)


def test_no_given_masks_are_answered_with_a_map_alone(predictor: Predictor) -> None:
    scene = predictor.look(np.full((96, 128, 3), 9, np.uint8))
    answers = predictor.answer(predictor.given(scene, Masks.parse([], scene.size)), ["red car", "boat"])
    assert answers.relevance.shape == answers.scores.shape == (2, 0) and answers.maps.shape == (2, 24, 32)


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
