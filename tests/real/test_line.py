"""Preset `sa1b` with few steps, on models of real size: every stage from the shards to a release that answers."""

import json
from pathlib import Path

import pytest
from town import Row, arrcoc

from ml.bench.files import Pair

pytestmark = pytest.mark.real

GB = 2**30
MOST_MEMORY = 10 * GB


def test_every_stage_fits_a_laptop(made: list[Row]) -> None:
    """The table of docs/scale.md: pytest -s shows it."""
    for stage, took, written in made:
        print(f"| {stage} | {took.seconds:.0f} | {took.peak / GB:.1f} | {written / 1e6:.1f} |")
    assert [row.stage for row in made if row.took.peak > MOST_MEMORY] == []


def test_the_model_is_released_and_answers_of_a_photograph(
    real_town: Path, made: list[Row], pair: Pair, tmp_path: Path
) -> None:
    assert json.loads((real_town / "data" / "released_model" / "release.json").read_text())["released"]
    photograph = tmp_path / "photograph.jpg"
    photograph.write_bytes(pair.jpeg)
    took = arrcoc(real_town, "predict", str(photograph), "a red car", "--json")
    assert took.code == 0, took.said[-3000:]
    answer = json.loads(took.said[took.said.index("{") :])
    assert answer["masks"] and len(answer["box"]) == 4
