import numpy as np

from ml.toytown.pretraining.text import fits, phrase
from ml.toytown.world.ways import SYNONYMS

RED_CAR = ("object", "car", "red", "", 0)
BLUE_CAR = ("object", "car", "blue", "", 0)
WHEEL = ("part", "wheel", "red", "car", 0)
BALLS = ("group", "ball", "red", "", 3)
SKY = ("scene", "sky", "blue", "", 0)
REGIONS = [RED_CAR, BLUE_CAR, WHEEL, BALLS, SKY]


def test_a_phrase_fits_what_it_leaves_open() -> None:
    phrases = [
        ("object", "car", "", "", 0),
        RED_CAR,
        ("part", "wheel", "", "", 0),
        ("part", "wheel", "", "house", 0),
        ("group", "ball", "", "", 2),
    ]
    expected = [[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert (fits(phrases, REGIONS) == np.array(expected, bool)).all()


def test_every_phrase_fits_its_region_and_says_what_it_says() -> None:
    rng = np.random.default_rng(0)
    for region in REGIONS:
        said = [phrase(region, rng) for _ in range(200)]
        assert fits([meaning for _, meaning in said], [region]).all()
        for text, (_, noun, colour, whole, _) in said:
            words = text.split()
            assert (colour in words) if colour else (region[2] not in words)
            named = any(word in text for word in (noun, *SYNONYMS.get(noun, ())))
            assert named and (not whole or whole in words)
    heard = {phrase(RED_CAR, rng)[0] for _ in range(300)}
    assert {"a red car", "red car", "the car", "car", "a red automobile"} <= heard
