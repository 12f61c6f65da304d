"""Without PyTorch the same masks, scores, captions and answers as with it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ml.errors import UserError
from ml.evaluation.predictions.predictor import Crops, TorchHeads
from ml.evaluation.predictions.predictor import Predictor as TorchPredictor
from ml.evaluation.predictions.speech import Speaker as TorchSpeaker
from ml.models.arrcoc import ARRCOC
from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import Sam
from ml.release.runtime.predictor import Predictor, found
from ml.release.runtime.speech import Speaker
from ml.release.variants import COMMON, VARIANTS
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene
from ml.workspace.settings import preset

TEXTS = ["the red car left of the house", "sky", "two dogs", "what color is the tree?"]


@pytest.fixture(scope="module")
def ours(variants: Path) -> Predictor:
    return Predictor(variants / COMMON, variants / "fp32")


@pytest.fixture(scope="module")
def theirs(sam: Sam, clip: Clip, model: ARRCOC) -> TorchPredictor:
    params = preset("toytown")
    return TorchPredictor(sam, Crops(clip, params.labels.crop_margin), TorchHeads(model, clip), params.evaluation)


def pictures() -> list[np.ndarray]:
    whole = draw(scene(0, 0, "tests")).image
    noise = np.random.default_rng(0).integers(0, 256, (90, 131, 3), np.uint8)
    return [whole, draw(scene(1, 1, "tests")).image[:200], np.repeat(whole[40:180], 2, 0), noise]


@pytest.mark.parametrize("image", pictures(), ids=["square", "wide", "large", "noise"])
def test_it_answers_as_pytorch_does(ours: Predictor, theirs: TorchPredictor, image: np.ndarray) -> None:
    (scene_, answers), (wanted_scene, wanted) = ours.predict(image, TEXTS), theirs.predict(image, TEXTS)
    assert scene_.masks.to_strings() == wanted_scene.proposals.masks.to_strings()
    for name in ("relevance", "grounding", "scores", "maps"):
        np.testing.assert_allclose(getattr(answers, name), getattr(wanted, name), atol=1e-3)


def test_it_says_what_pytorch_says(
    variants: Path, ours: Predictor, theirs: TorchPredictor, sam: Sam, model: ARRCOC, clip: Clip
) -> None:
    speaker, other = Speaker(ours, variants / COMMON), TorchSpeaker(TorchHeads(model, clip), sam.image_size)
    for image in pictures()[::3]:
        look, wanted = ours.look(image), theirs.look(image)
        assert speaker.caption(look) == other.caption(wanted)
        assert speaker.answers(look, TEXTS) == other.answers(wanted, TEXTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_tells_of_masks(variants: Path, variant: str) -> None:
    predictor = Predictor(variants / COMMON, variants / variant)
    told = found(*predictor.predict(pictures()[0], ["the house"]), ["the house"], 0)
    assert told["masks"] and told["box"] == told["masks"][0]["box"] and told["query"] == "the house"
    assert {"box", "area", "level", "relevance", "segmentation"} == set(told["masks"][0])


def test_a_picture_without_masks_has_no_box(ours: Predictor) -> None:
    told = found(*ours.predict(np.zeros((8, 400, 3), np.uint8), ["a car"]), ["a car"], 0)
    assert told["masks"] or (told["box"], told["score"], told["present"]) == (None, 0.0, False)


def test_no_package_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no released model there; make one with: arrcoc run"):
        Predictor(tmp_path)


def test_nothing_of_training_is_imported() -> None:
    heavy = {"torch", "spacy", "numba", "mlflow", "dagster", "scipy", "pandas", "pyarrow"}
    code = f"import sys; import ml.release.runtime.speech, ml.release.predict; print({heavy} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "set()"
