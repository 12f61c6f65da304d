"""All of evaluation computes where the weights are, and answers on the processor."""

from copy import deepcopy

import numpy as np
from pretend import Elsewhere, pretended_gpu

from ml.evaluation.predictions.predictor import Crops, Predictor, TorchHeads
from ml.evaluation.predictions.speech import Speaker
from ml.masks import Masks
from ml.models.frozen.sam import Sam

TEXTS = ["red car", "a blue house left of the tree"] * 20
QUESTIONS = ["what color is the car?", "how many balls are there?"]


def test_a_gpu_gives_the_answers_of_the_processor(predictor: Predictor) -> None:
    """Tensors that say they are on a GPU mix with no others, and are no arrays until they are brought back."""
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    few = predictor.params.model_copy(update={"max_points": 10})
    predictor = Predictor(predictor.sam, predictor.crops, predictor.heads, few)
    speaker = Speaker(predictor.heads, predictor.sam.image_size)
    wanted_scene, wanted = predictor.predict(image, TEXTS)
    said = [speaker.caption(wanted_scene), *speaker.answers(wanted_scene, QUESTIONS)]
    with pretended_gpu() as gpu:
        sam = Sam(deepcopy(predictor.sam.model), predictor.sam.config).to(gpu)
        model, clip = deepcopy(predictor.heads.model).to(gpu), deepcopy(predictor.heads.texts.clip).to(gpu)
        heads = TorchHeads(model, clip)
        there = Predictor(sam, Crops(clip, predictor.crops.margin), heads, few)
        scene, answers = there.predict(image, TEXTS)
        assert isinstance(scene.features, Elsewhere) and scene.proposals.masks.to_strings()
        assert scene.proposals.masks.to_strings() == wanted_scene.proposals.masks.to_strings()
        np.testing.assert_allclose(scene.crops.numpy(), wanted_scene.crops.numpy(), atol=1e-6)
        for name in ("relevance", "grounding", "scores", "maps"):
            np.testing.assert_allclose(getattr(answers, name), getattr(wanted, name), atol=1e-6)
        there.answer(there.given(scene, Masks.parse([], scene.size)), TEXTS, maps=False)
        speaker = Speaker(heads, sam.image_size)
        assert [speaker.caption(scene), *speaker.answers(scene, QUESTIONS)] == said
