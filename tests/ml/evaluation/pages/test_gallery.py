"""Contact sheets: shapes, colours, and words that fit."""

import numpy as np
from PIL import Image, ImageDraw

from ml.evaluation.pages.gallery import CAPTION, TILE, _font, _wrapped, contact_sheet, overlay, png


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
    assert {(i, i, i) for i in range(1, 9)} <= colours
    assert png(sheet).startswith(b"\x89PNG")


def test_long_questions_are_cut_to_two_lines() -> None:
    draw = ImageDraw.Draw(Image.new("RGB", (TILE, TILE)))
    text = _wrapped(draw, "the small red car that stands to the left of the very large blue house " * 3)
    assert len(text.split("\n")) == 2 and text.endswith("…")
    assert all(draw.textlength(line, _font(15)) <= TILE + 12 for line in text.split("\n"))
    assert _wrapped(draw, "red car") == "red car"
