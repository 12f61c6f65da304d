from collections.abc import Callable

import numpy as np
import pytest

from ml.labeling.geometry.relations import measure
from ml.labeling.relevance import HALF, Expression, Scores, Sizes, Subject, Vocabulary, lift
from ml.masks import Masks

CAR, HOUSE = Subject("car", "a car", "car"), Subject("house", "a house", "house")
WHEEL = Subject("wheel", "a wheel", "wheel")
SIZES = Sizes({"car": (np.log(0.02), 1.0)})


def vocabulary() -> Vocabulary:
    """Each prompt is an axis, so a crop's cosine with it is its coordinate."""
    return Vocabulary(["a car", "a house", "a wheel"], [], np.eye(3, dtype=np.float32), 0.5, 0.1)


def scores(masks: Masks, crops: list[list[float]], parents: list[int] | None = None) -> Scores:
    above = np.array(parents or [-1] * len(masks), np.int64)
    names = [CAR, HOUSE, WHEEL, Subject("small car", "a car", "car", size="small")]
    return Scores(names, np.array(crops, np.float32), measure(masks, above, 0.08), vocabulary(), SIZES)


def sigmoid(cosine: float) -> float:
    return 1 / (1 + np.exp(-(cosine - 0.5) / 0.1))


def test_similarity_is_the_sigmoid_of_the_cosine() -> None:
    crops = np.array([[0.5, 0, 0], [0.7, 0, 0], [0, 0.2, 0]], np.float32)
    found = vocabulary().similarity(["a car", "a house"], crops)
    np.testing.assert_allclose(found[0], [0.5, sigmoid(0.7), sigmoid(0)], rtol=1e-5)
    np.testing.assert_allclose(found[1, 2], sigmoid(0.2), rtol=1e-5)
    own = vocabulary().own_similarity(["a car", "a house"], crops[[1, 2]])
    np.testing.assert_allclose(own, [sigmoid(0.7), sigmoid(0.2)], rtol=1e-5)


def test_a_relation_is_the_best_anchor_there(rectangles: Callable[..., Masks]) -> None:
    """Two cars and two houses: only one car has a house on its right, and of two the likelier counts."""
    masks = rectangles((50, 5, 10, 10), (60, 80, 10, 10), (85, 5, 10, 10), (70, 5, 10, 10))
    found = scores(masks, [[0.9, 0, 0], [0.9, 0, 0], [0, 0.8, 0], [0, 0.6, 0]])
    relevance = found.of(Expression(CAR, "left of", HOUSE))
    assert relevance[0] == pytest.approx(sigmoid(0.9) * sigmoid(0.8), rel=1e-5)
    assert relevance[2] == 0
    assert relevance[1] < 0.5
    pairs = found.related("left of")
    np.testing.assert_allclose(pairs[0, 1], relevance)


def test_no_mask_is_its_own_anchor(rectangles: Callable[..., Masks]) -> None:
    found = scores(rectangles((10, 10, 20, 20)), [[0.9, 0.9, 0]])
    for relation in ("inside", "overlapping", "left of"):
        assert found.of(Expression(CAR, relation, HOUSE)).tolist() == [0]


def test_a_superlative_keeps_the_extreme_of_the_relevant(rectangles: Callable[..., Masks]) -> None:
    masks = rectangles((5, 10, 10, 10), (40, 10, 10, 10), (80, 10, 10, 10))
    found = scores(masks, [[0.3, 0, 0], [0.9, 0, 0], [0.9, 0, 0]])
    np.testing.assert_allclose(found.of(Expression(CAR, "leftmost")), [0, sigmoid(0.9), 0], rtol=1e-5)


def test_a_part_belongs_to_its_own_whole(rectangles: Callable[..., Masks]) -> None:
    masks = rectangles((0, 0, 40, 40), (5, 5, 10, 10), (60, 60, 10, 10))
    found = scores(masks, [[0.9, 0, 0], [0, 0, 0.9], [0, 0, 0.9]], [-1, 0, -1])
    relevance = found.of(Expression(WHEEL, "of", CAR))
    assert relevance[1] == pytest.approx(sigmoid(0.9) ** 2, rel=1e-5)
    assert relevance[[0, 2]].tolist() == [0, 0]


def test_small_is_small_among_its_kind(rectangles: Callable[..., Masks]) -> None:
    found = scores(rectangles((0, 0, 10, 10), (40, 0, 30, 30)), [[0.9, 0, 0], [0.9, 0, 0]])
    small = found.of(Expression(Subject("small car", "a car", "car", size="small")))
    assert small[0] > 0.9
    assert small[1] < 0.1


def test_sizes_are_two_clusters() -> None:
    rng = np.random.default_rng(0)
    areas = np.concatenate([rng.normal(0.01, 0.001, 30), rng.normal(0.03, 0.003, 20)])
    sizes = Sizes.fit(["car"] * 50 + ["ball"] * 20, [*areas, *rng.normal(0.01, 0.001, 20)])
    assert set(sizes.split) == {"car"}
    assert [sizes.word("car", area, 0.8) for area in (0.01, 0.0173, 0.03)] == ["small", "", "large"]
    assert sizes.word("ball", 0.01, 0.8) == ""
    large, small = (sizes.factor("car", size, areas) for size in ("large", "small"))
    np.testing.assert_allclose(large + small, 1, rtol=1e-6)
    assert sizes.factor("ball", "", areas).tolist() == [1.0] * 50


def test_one_thing_has_no_size() -> None:
    assert Sizes.fit(["car"], [0.1]).split == {}


def test_near_duplicates_are_lifted(rectangles: Callable[..., Masks]) -> None:
    masks = rectangles((10, 10, 40, 40), (11, 10, 40, 40), (10, 10, 10, 10))
    geometry = measure(masks, np.array([-1, -1, 0]), 0.08)
    relevance = np.array([[0.9, 0.2, 0.1], [0.3, 0.8, 0.4]], np.float32)
    np.testing.assert_allclose(lift(relevance, [0, 1], geometry), [[0.9, 0.9, 0.1], [0.8, 0.8, 0.4]])


def test_a_part_is_as_relevant_as_it_is_large(rectangles: Callable[..., Masks]) -> None:
    """Of the whole that is meant a quarter, and most of it; something beside it; and a whole of half that is meant."""
    house, quarter, most, tree = (10, 10, 40, 40), (10, 10, 20, 20), (10, 10, 40, 26), (60, 10, 20, 20)
    geometry = measure(rectangles(house, quarter, most, tree), np.array([-1, 0, 0, -1]), 0.08)
    relevance = np.array([[0.8, 0.1, 0.0, 0.1], [0.1, 0.8, 0.0, 0.0], [0.4, 0.0, 0.0, 0.0]], np.float32)
    wanted = [[0.8, 0.2, HALF, 0.1], [0.2, 0.8, 0.8 * 400 / 1040, 0.0], relevance[2]]
    np.testing.assert_allclose(lift(relevance, [0, 1, 0], geometry), wanted, rtol=1e-6)
