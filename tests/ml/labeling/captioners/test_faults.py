"""Texts that are no captions, and captions that look as if they were none."""

import pytest

from ml.labeling.captioners.faults import EMPTY, ENDLESS, FOREIGN, NO_WORD, TOO_LONG, text_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", EMPTY),
        (" \n\t", EMPTY),
        ("a car " * (ENDLESS // 6 + 1), TOO_LONG),
        ("🚗🏠", NO_WORD),
        ("12 34 !?", NO_WORD),
        ("ein rotes Auto vor dem Haus", FOREIGN),
        ("une voiture rouge devant la maison", FOREIGN),
        ("un coche rojo al lado de la casa", FOREIGN),
        ("uma casa vermelha", FOREIGN),
        ("een rode auto voor het huis", FOREIGN),
        ("en röd bil framför huset", FOREIGN),
        ("czerwony samochód", FOREIGN),
        ("kırmızı araba", FOREIGN),
        ("красная машина", FOREIGN),
        ("一辆红色的汽车", FOREIGN),
        ("سيارة حمراء", FOREIGN),
    ],
)
def test_what_is_no_english_caption_is_told(text: str, fault: str) -> None:
    assert text_fault(text) == fault


@pytest.mark.parametrize(
    "text",
    [
        "a red car",
        "surfboard",
        "zebra",
        "two zebras",
        "a die on a table",
        "a man in an oversized hat",
        "the façade of a café",
        "a crème brûlée",
        "a sign that says la casa",
        "car 🚗",
        "an SUV",
        "no parking sign",
        "me and my dog",
        "a Piña colada",
        "a UN truck",
        "Los Angeles skyline",
        "Rio de Janeiro",
        "moving van",
    ],
)
def test_what_is_one_passes(text: str) -> None:
    assert text_fault(text) == ""
