"""The page at / in a real browser: a picture and a sentence in, masks, heat map and words out."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page
from pycocotools import mask as coco

from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene

SAID = "text => document.getElementById('said').textContent === text"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "town.jpg"
    Image.fromarray(draw(scene(0, 0, "tests")).image).save(path, quality=95)
    return path


def layer(page: Page) -> np.ndarray:
    """The pixels over the picture, RGBA `[H, W, 4]`."""
    told: list[int] = page.evaluate(
        "() => { const c = document.getElementById('layer'); "
        "return [c.height, c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }"
    )
    return np.array(told[2:], np.uint8).reshape(told[0], told[1], 4)


def ask(page: Page, picture: Path, words: str) -> dict[str, Any]:
    """Type and choose a picture; the server's answer."""
    page.fill("#query", words)
    with page.expect_response("**/v1/*") as met:
        page.set_input_files("#image", picture)
    page.wait_for_selector("#masks button")
    return met.value.json()


def test_masks_are_listed_and_lit_where_they_are(page: Page, picture: Path) -> None:
    masks = ask(page, picture, "the house")["answers"][0]["masks"]
    assert page.locator("#masks button").count() == len(masks)
    page.uncheck("#heat")
    page.uncheck("#box")
    for i in (0, len(masks) - 1):
        page.locator("#masks button").nth(i).focus()
        assert ((layer(page)[..., 3] > 0) == coco.decode(masks[i]["segmentation"]).astype(bool)).all()
        assert f"area {masks[i]['area']} px" in page.inner_text("#under")


def test_a_mask_under_the_pointer_tells_its_numbers(page: Page, picture: Path) -> None:
    masks = ask(page, picture, "the house")["answers"][0]["masks"]
    inside = np.argwhere(coco.decode(masks[0]["segmentation"]))
    row, column = inside[len(inside) // 2]
    bounds = page.locator("#layer").bounding_box()
    assert bounds
    scale = bounds["width"] / 256
    page.locator("#layer").hover(position={"x": (column + 0.5) * scale, "y": (row + 0.5) * scale})
    assert page.inner_text("#under").startswith("1. ")


def test_levels_are_switched(page: Page, picture: Path) -> None:
    masks = ask(page, picture, "the house")["answers"][0]["masks"]
    level = masks[0]["level"]
    page.uncheck(f"input[value={level}]")
    shown = page.locator("#masks li:visible").count()
    assert shown == sum(mask["level"] != level for mask in masks)


def test_captions_answers_and_the_address(page: Page, picture: Path) -> None:
    ask(page, picture, "the house")
    page.check("input[value=caption]")
    with page.expect_response("**/v1/caption") as met:
        page.click("#go")
    page.wait_for_function(SAID, arg=met.value.json()["caption"])
    page.check("input[value=question]")
    page.fill("#query", "how many trees?")
    with page.expect_response("**/v1/question") as met:
        page.keyboard.press("Enter")
    answer = met.value.json()["answers"][0]["answer"]
    page.wait_for_function(SAID, arg=answer)
    page.goto("about:blank")
    page.go_back()
    assert page.input_value("#query") == "how many trees?" and page.is_checked("input[value=question]")


def test_a_refusal_is_told(page: Page, tmp_path: Path) -> None:
    page.fill("#query", "a car")
    page.set_input_files("#image", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": picture_cut()})
    page.wait_for_function("() => document.getElementById('said').textContent.startsWith('image:')")


def picture_cut() -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw(scene(0, 0, "tests")).image).save(file, "JPEG")
    return file.getvalue()[:3000]
