"""What needs no training: what CLIP is shown of a mask, how similarities become answers, and the spatial rule."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from ml.evaluation.predictions.baselines import BLUR, CIRCLE, CROPS, MAP, RULE, Baselines, blurred, circled
from ml.evaluation.predictions.predictor import Predictor
from ml.labeling.geometry.crops import masked_crops
from ml.labeling.geometry.eye import Eye
from ml.labeling.language.english import english
from ml.masks import Masks
from ml.params import Params

SIZE = (96, 128)


def boxes(*corners: tuple[int, int, int, int]) -> Masks:
    dense = np.zeros((len(corners), *SIZE), bool)
    for mask, (x, y, w, h) in zip(dense, corners, strict=True):
        mask[y : y + h, x : x + w] = True
    return Masks.from_dense(dense)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


def test_every_baseline_answers_in_the_models_shapes(predictor: Predictor, params: Params, image: np.ndarray) -> None:
    scene, ours = predictor.predict(image, ["a red car", "the dog left of a house", "leftmost boat"])
    found = Baselines(predictor.heads, params.filter).answer(scene, ["a", "b", "c"], ours)
    assert list(found) == [CROPS, CIRCLE, BLUR, RULE, MAP]
    for name, answers in found.items():
        assert answers.relevance.shape == answers.scores.shape == ours.scores.shape, name
        assert ((answers.relevance >= 0) & (answers.relevance <= 1)).all(), name
        assert not len(answers.maps), name  # those are the model's own
    np.testing.assert_array_equal(found[MAP].scores, ours.grounding.clip(0, 1))


def test_crops_are_judged_by_the_sigmoid_of_their_cosine(
    predictor: Predictor, params: Params, image: np.ndarray
) -> None:
    masks, clip = boxes((10, 20, 30, 40), (60, 10, 20, 20)), predictor.crops.encoder
    crops = masked_crops(image, masks, clip.eye, predictor.crops.margin)
    seen = clip.encode_image(torch.from_numpy(crops.transpose(0, 3, 1, 2).copy())).numpy()
    read = clip.encode_text(clip.tokenize(["a red car"])).pooled.numpy()
    config = predictor.heads.model.config
    logits = (read @ seen.T - config.similarity_midpoint) / config.similarity_scale
    found = Baselines(predictor.heads, params.filter).similarity(["a red car"], seen)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), rtol=1e-4)


def test_a_circle_is_red_around_the_box_and_nothing_else_changes(image: np.ndarray) -> None:
    left, right = circled(image, boxes((0, 20, 40, 40), (80, 20, 40, 40)), Eye(64))
    red = [(picture == (255, 0, 0)).all(-1) for picture in (left, right)]
    assert red[0][:, :25].any() and not red[0][:, 25:].any()
    assert red[1][:, 38:].any() and not red[1][:, :38].any()
    untouched = ~red[0] & ~red[1]
    np.testing.assert_array_equal(left[untouched], right[untouched])


def test_all_but_the_mask_is_blurred(image: np.ndarray) -> None:
    (inside,) = blurred(image, boxes((0, 0, 128, 96)), Eye(64))
    (left,) = blurred(image, boxes((0, 0, 64, 96)), Eye(64))
    np.testing.assert_array_equal(left[:, :31], inside[:, :31])
    assert left[:, 33:].std() < inside[:, 33:].std() / 1.5


class Told(Baselines):
    """A baseline whose similarities are given, name by name."""

    def __init__(self, likely: dict[str, list[float]], params: Params) -> None:
        self.likely, self.hierarchy, self.reader = likely, params.filter, english()

    def similarity(self, texts: Sequence[str], embeddings: np.ndarray) -> np.ndarray:
        return np.array([self.likely[text] for text in texts], np.float32)


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("the car", 1),
        ("the leftmost car", 0),
        ("the car on the right", 2),
        ("the car right of the house", 2),
        ("the car left of the house", 1),
        ("the house", 3),
    ],
)
def test_the_rule_multiplies_names_and_places(text: str, best: int, params: Params) -> None:
    masks = boxes((0, 40, 10, 10), (35, 40, 10, 10), (100, 40, 10, 10), (50, 38, 14, 14))
    told = Told({"car": [0.8, 0.9, 0.7, 0.1], "house": [0.1, 0.1, 0.1, 0.9]}, params)
    found = told.ruled([text], masks, np.zeros((4, 2), np.float32))
    assert found.shape == (1, 4) and int(found[0].argmax()) == best


@pytest.mark.parametrize(
    "text",
    ["second car from the left", "the car in the middle", "the car next to the house", "the car closest to the house"],
)
def test_the_rule_knows_the_places_that_the_labels_know(text: str, params: Params) -> None:
    masks = boxes((0, 40, 10, 10), (35, 40, 10, 10), (100, 40, 10, 10), (48, 38, 14, 14))
    told = Told({"car": [0.9, 0.8, 0.7, 0.1], "house": [0.1, 0.1, 0.1, 0.9]}, params)
    assert int(told.ruled([text], masks, np.zeros((4, 2), np.float32))[0].argmax()) == 1


def test_a_rank_that_none_has_is_passed_over(params: Params) -> None:
    masks = boxes((0, 40, 10, 10), (100, 40, 10, 10))
    told = Told({"car": [0.9, 0.8]}, params)
    assert told.ruled(["third car from the left"], masks, np.zeros((2, 2), np.float32)).tolist() == [
        pytest.approx([0.9, 0.8])
    ]


def test_what_stands_in_no_such_relation_is_not_meant(params: Params) -> None:
    masks = boxes((0, 40, 10, 10), (50, 38, 14, 14))
    told = Told({"car": [0.9, 0.1], "house": [0.1, 0.9]}, params)
    assert told.ruled(["the car right of the house"], masks, np.zeros((2, 2), np.float32)).max() < 0.15
