"""Words come from image and question alone; an image without masks is spoken of as well."""

from dataclasses import replace

import numpy as np
import pytest

from ml.evaluation.predictions.predictor import Predictor, Scene
from ml.evaluation.predictions.proposals import Proposals
from ml.evaluation.predictions.speech import ANSWER_TOKENS, Speaker
from ml.masks import Masks

QUESTIONS = ["what color is the car?", "how many balls are there?"]


@pytest.fixture
def speaker(predictor: Predictor) -> Speaker:
    return Speaker(predictor.heads, predictor.sam.image_size)


@pytest.fixture
def scene(predictor: Predictor) -> Scene:
    return predictor.look(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))


def test_an_answer_depends_on_its_own_question_only(speaker: Speaker, scene: Scene) -> None:
    both = speaker.answers(scene, QUESTIONS)
    assert both[::-1] == speaker.answers(scene, QUESTIONS[::-1]) and len(both) == 2
    assert speaker.answers(scene, QUESTIONS[:1]) == both[:1]
    assert all(len(text.split()) < ANSWER_TOKENS for text in both)


def test_without_masks_there_are_words_all_the_same(speaker: Speaker, scene: Scene) -> None:
    nothing = Proposals(Masks.parse([], scene.size), np.zeros(0), np.zeros(0))
    bare = replace(scene, proposals=nothing, crops=scene.crops[:1])
    assert len(speaker.answers(bare, QUESTIONS)) == 2
    assert speaker.caption(bare) == speaker.caption(scene)
