"""A CLIP whose similarities say nothing is noticed."""

import numpy as np
import pytest

from ml.errors import UserError
from ml.labeling.relevance import Vocabulary
from ml.labeling.soundness import ENOUGH, name_agreement, require_agreement

NAMES = ["a car", "a house", "a dog", "a tree"]


def vocabulary(texts: np.ndarray) -> Vocabulary:
    return Vocabulary(NAMES, (), texts.astype(np.float32), 0.5, 0.1)


def found(crops: np.ndarray, texts: np.ndarray, prompts: list[str]) -> float:
    return name_agreement(prompts, crops.astype(np.float32), vocabulary(texts), np.random.default_rng(0))


def test_masks_are_nearer_to_their_own_names_where_clip_knows_them() -> None:
    assert found(np.tile(np.eye(4), (10, 1)), np.eye(4), NAMES * 10) == 1


def test_similarities_that_are_flat_say_nothing() -> None:
    crops, texts = np.full((40, 4), 0.5), np.full((4, 4), 0.5)
    assert found(crops, texts, NAMES * 10) == 0
    rng = np.random.default_rng(1)
    assert 0.35 < found(rng.normal(size=(400, 4)), np.eye(4), NAMES * 100) < 0.65


def test_one_name_alone_can_be_compared_with_none() -> None:
    assert np.isnan(found(np.eye(4)[:1], np.eye(4), ["a car"]))


def test_little_agreement_stops_and_says_where_to_look() -> None:
    require_agreement(0.76, ENOUGH, 0.75)
    require_agreement(0.4, ENOUGH - 1, 0.75)  # too few to tell
    require_agreement(float("nan"), ENOUGH, 0.75)
    with pytest.raises(UserError, match=r"^labels\.least_agreement: 52 % of 900 masks .* backbones\.clip\.pretrained"):
        require_agreement(0.52, 900, 0.75)
