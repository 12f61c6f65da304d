"""Contact sheets: shapes, colours, and words that fit."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ml.compute.pool import ShardPool
from ml.evaluation.benchmarks.index import build
from ml.evaluation.pages.gallery import (
    CAPTION,
    RIGHT,
    TILE,
    TRUE,
    WRONG,
    _font,
    _wrapped,
    choose,
    contact_sheet,
    gallery,
    overlay,
    png,
)
from ml.evaluation.predictions import loaded
from ml.evaluation.predictions.answers import predict
from ml.evaluation.predictions.loaded import Sources
from ml.models.frozen.sam import Sam
from ml.params import Params


def test_heat_changes_only_what_is_hot() -> None:
    pixels = np.full((40, 60, 3), 90, np.uint8)
    heat = np.zeros((10, 15), np.float32)
    heat[:, 10:] = 1.0
    heated = overlay(pixels, heat)
    assert heated.shape == pixels.shape and (heated[:, :30] == 90).all()
    assert (np.abs(heated[:, 50:].astype(int) - 90).max(-1) > 50).all()


def test_a_sheet_holds_all_tiles() -> None:
    tiles = [Image.new("RGB", (TILE, TILE + CAPTION), (i, i, i)) for i in range(1, 9)]
    sheet = contact_sheet(tiles)
    colours = {colour for _, colour in sheet.getcolors(maxcolors=1000)}
    assert {(i, i, i) for i in range(1, 9)} | {TRUE, RIGHT, WRONG} <= colours  # and a legend of the frames
    assert png(sheet).startswith(b"\x89PNG")


def test_long_questions_are_cut_to_two_lines() -> None:
    draw = ImageDraw.Draw(Image.new("RGB", (TILE, TILE)))
    text = _wrapped(draw, "the small red car that stands to the left of the very large blue house " * 3)
    assert len(text.split("\n")) == 2 and text.endswith("…")
    assert all(draw.textlength(line, _font(15)) <= TILE + 12 for line in text.split("\n"))
    assert _wrapped(draw, "red car") == "red car"


def test_tiles_are_drawn_by_the_models_that_predicted_and_an_image_is_encoded_once(
    folders: dict[str, Path],
    tmp_path: Path,
    weights: tuple[Path, Path],
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: Counter[str] = Counter()
    load, encode = loaded.load_sam, Sam.encode
    monkeypatch.setattr(loaded, "load_sam", lambda folder: (calls.update(["load"]), load(folder))[1])
    monkeypatch.setattr(Sam, "encode", lambda sam, images: (calls.update(["encode"]), encode(sam, images))[1])
    data, out = tmp_path / "data", tmp_path / "out"
    build({name: folders[name] for name in ("refcoco", "flickr30k")}, data, params)
    sources = Sources.of(*weights, params.evaluation.model_copy(update={"gallery": 9}), params.filter)
    with ShardPool(1) as pool:
        predict(data, sources, out, pool)
        assert calls == {"load": 1, "encode": 5}
        sheets = gallery(data, out, sources, 0, pool)
    tiles = [tile for row in choose(data, out, 9, 0).values() for tile in row]
    assert set(sheets) <= {"right", "wrong"} and len(tiles) > len({tile.outcome.image for tile in tiles})
    assert calls == {"load": 1, "encode": 5 + len({tile.outcome.image for tile in tiles})}
