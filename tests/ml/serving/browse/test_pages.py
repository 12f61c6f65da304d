"""The page /browse, and the examples of the page /, in a real browser."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from pycocotools import mask as coco

from ml.serving.browse import benchmarks, examples, left_out, training_set
from ml.training.tracking.browse import PAGES

SHARD, BROKEN = "sa_000000", "sa_000001"


def browse(page: Page, server: Any, state: str) -> None:
    """Open a state of /browse, and wait until it is shown."""
    page.goto(f"{server.url}/browse#{state}")
    page.reload()
    page.wait_for_function("() => document.getElementById('said').textContent === ''")
    page.wait_for_load_state("networkidle")


def seen(page: Page) -> np.ndarray:
    """Where anything is drawn over the picture, bool `[H, W]` in its pixels."""
    told: list[int] = page.evaluate(
        "() => { const c = document.querySelector('.picture canvas'), small = new OffscreenCanvas(256, 256); "
        "const pen = small.getContext('2d'); pen.imageSmoothingEnabled = false; pen.drawImage(c, 0, 0, 256, 256); "
        "return [...pen.getImageData(0, 0, 256, 256).data].filter((_, i) => i % 4 === 3); }"
    )
    return np.array(told).reshape(256, 256) > 0


def test_an_example_is_asked_and_its_address_brings_the_whole_answer_back(page: Page, server, ws) -> None:
    wanted = examples.examples(ws)[1]
    button = page.locator("#examples button").nth(1)
    button.focus()
    with page.expect_response("**/v1/ask") as met:
        page.keyboard.press("Enter")
    page.wait_for_selector("#masks button")
    expect(page.locator("#query")).to_have_value(wanted["text"])
    expect(button).to_have_attribute("aria-pressed", "true")
    assert f"example={quote(wanted['image'], safe='')}" in page.url
    first, said = met.value.json(), page.inner_text("#said")
    address = page.url
    page.goto("about:blank")
    with page.expect_response("**/v1/ask") as again:
        page.goto(address)
    page.wait_for_selector("#masks button")
    assert again.value.json()["answers"] == first["answers"] and page.inner_text("#said") == said


def test_pictures_are_filtered_and_paged_and_the_address_holds_both(page: Page, server, ws) -> None:
    page.goto(server.url)
    page.click("text=Browse the data")
    expect(page.locator(".cards li")).to_have_count(24)
    page.focus("#filter-level")
    page.select_option("#filter-level", "group")
    wanted = training_set.page(ws, SHARD, "group", "", 0)
    expect(page.locator(".pager span").first).to_have_text(f"1 to {min(24, wanted['total'])} of {wanted['total']}")
    expect(page.locator("#filter-level")).to_be_focused()
    page.select_option("#filter-level", "")
    page.locator(".pager a", has_text="Next").first.click()
    expect(page.locator(".pager span").first).to_have_text("25 to 30 of 30")
    page.reload()
    expect(page.locator(".cards li")).to_have_count(6)
    last = training_set.page(ws, SHARD, "", "", 24)["images"]
    assert last[0]["caption"] in page.inner_text(".cards li >> nth=0")


def test_a_query_colours_the_masks_and_one_under_the_pointer_tells_its_numbers(page: Page, server, ws, rows) -> None:
    row = rows("pseudo_labels", SHARD)[4]
    number = next(i for i, query in enumerate(row["queries"]) if query["target"] >= 0)
    query, relevance = row["queries"][number], row["relevance"][number]
    browse(page, server, f"page=training&shard={SHARD}&image={row['image_id']}")
    page.locator(f"a[href$='query={number}']").focus()
    page.keyboard.press("Enter")
    expect(page.locator("a[aria-current=true]")).to_have_text(f"{query['text']}{query['kind']}")
    expect(page.locator("a[aria-current=true]")).to_be_focused()
    ranked = page.locator("[aria-labelledby=masks-title] button .soft").all_inner_texts()
    assert [text.split(", ")[1] for text in ranked] == [f"{value:.2f}" for value in sorted(relevance, reverse=True)]
    best = int(np.argmax(relevance))
    page.locator("[aria-labelledby=masks-title] button").first.focus()
    words = page.inner_text("figcaption")
    assert f"relevance {relevance[best]:.3f}" in words and f"stability {row['stability_scores'][best]:.3f}" in words
    counts = {"size": [256, 256], "counts": row["counts"][best]}
    assert (seen(page) == coco.decode(counts).astype(bool)).mean() > 0.99
    smallest = min(range(len(row["counts"])), key=lambda i: coco.area(counts | {"counts": row["counts"][i]}))
    inside = np.argwhere(coco.decode(counts | {"counts": row["counts"][smallest]}))
    y, x = inside[len(inside) // 2]
    box = page.locator(".picture canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + (x + 0.5) * box["width"] / 256, box["y"] + (y + 0.5) * box["height"] / 256)
    assert f"mask {row['mask_ids'][smallest]}," in page.inner_text("figcaption")


def test_what_was_left_out_is_listed_with_its_reason(page: Page, server, ws, rows) -> None:
    browse(page, server, f"page=left-out&shard={BROKEN}")
    known = rows("mask_index", BROKEN, ".rejects.parquet")
    expect(page.locator("tbody tr")).to_have_count(len(known))
    page.select_option("#filter-reason", known[0]["reason"])
    expect(page.locator("tbody tr")).to_have_count(1)
    page.select_option("#filter-stage", "filtered_masks")
    page.locator(".cards a").first.click()
    image = left_out.page(ws, "filtered_masks", BROKEN, "", 0)["rows"][0]["image_id"]
    told = left_out.dropped(ws, BROKEN, image)
    expect(page.locator("#masks-title")).to_have_text(f"{len(told['masks'])} of {told['present']} masks dropped")
    page.locator("[aria-labelledby=masks-title] button").first.hover()
    assert page.inner_text("figcaption").startswith(f"{told['masks'][0]['reason']}: mask {told['masks'][0]['mask_id']}")
    page.select_option("#filter-stage", "training_set")
    (manifest,) = ws.stage("training_set").glob("*.json")
    page.select_option("#filter-shard", json.loads(manifest.read_text())["copies"][0]["shard"])
    page.locator("tbody a").first.click()
    expect(page.locator("dl")).to_contain_text("left out of training: a copy of ")


def test_the_worst_answer_is_drawn_beside_the_truth_and_can_be_asked_anew(page: Page, server, ws) -> None:
    browse(page, server, "page=benchmarks&benchmark=refcoco&split=val")
    worst = benchmarks.page(ws, "refcoco", "val", "", 0)["questions"]
    assert worst[0]["text"] in page.inner_text(".cards li >> nth=0")
    number = next(i for i, row in enumerate(worst) if row["score"])  # one that was answered
    page.locator(".cards a").nth(number).click()
    told = benchmarks.question(ws, "refcoco", worst[number]["query_id"])
    expect(page.locator("dl")).to_contain_text(f"{worst[number]['score']:.3f}")
    verdict = "wrong" if worst[number]["score"] < 0.5 else "right"
    expect(page.locator(".legend")).to_contain_text(f"answer, {verdict}")
    page.locator("[aria-labelledby=list-title] button", has_text="truth").first.focus()
    drawn, (x, y, _, h) = seen(page), np.array(told["truth"]["boxes"][0]).astype(int)
    middle = min(y + h // 2, 255)
    assert drawn[middle, x : x + 2].any() and not drawn[:, : max(x - 4, 0)].any()
    with page.expect_response("**/v1/ask"):
        page.click("text=Ask the released model")
    expect(page.locator("#query")).to_have_value(worst[number]["text"])
    page.wait_for_selector("#masks button")


def test_relevance_is_coloured_by_answer_or_truth_and_words_are_told(page: Page, server, ws) -> None:
    row = benchmarks.page(ws, "relevance", "", "", 0)["questions"][0]
    browse(page, server, f"page=benchmarks&benchmark=relevance&question={row['query_id']}")
    before = page.locator(".swatch").first.get_attribute("style")
    page.click(".sides a >> text=the truth")
    expect(page.locator(".sides a[aria-current=true]")).to_have_text("the truth")
    assert page.locator(".swatch").first.get_attribute("style") != before
    row = benchmarks.page(ws, "vqa", "", "", 0)["questions"][0]
    told = benchmarks.question(ws, "vqa", row["query_id"])
    browse(page, server, f"page=benchmarks&benchmark=vqa&question={row['query_id']}")
    expect(page.locator("dl")).to_contain_text(told["truth"]["answer"])


def test_a_state_that_is_not_there_is_told_in_a_line(page: Page, server) -> None:
    told = requests.get(f"{server.url}/browse/api/training-set/sa_999999", timeout=9)
    assert told.status_code == 404 and set(told.json()) == {"error"}
    page.route("**/sa_999999?*", lambda route: route.fulfill(status=422, body=told.text))  # no error on the console
    page.goto(f"{server.url}/browse#page=training&shard=sa_999999")
    expect(page.locator("#said")).to_have_text(told.json()["error"])


@pytest.mark.parametrize("state", sorted(set(PAGES.values())))
def test_what_dagster_and_mlflow_link_to_is_there(page: Page, server, state) -> None:
    browse(page, server, state)
    known = dict(pair.split("=") for pair in state.split("&"))
    assert page.locator(f"nav a[aria-current][href='#page={known['page']}']").count() == 1
    if "stage" in known:
        assert page.input_value("#filter-stage") == known["stage"]


STATES = {
    "pictures": "page=training",
    "query": "page=training&shard={shard}&image={image}&query=0",
    "rejects": "page=left-out&shard=sa_000001",
    "dropped": "page=left-out&stage=filtered_masks&shard={shard}&image={image}",
    "questions": "page=benchmarks&benchmark=refcoco",
    "answer": "page=benchmarks&benchmark=refcoco&question={question}",
    "relevance": "page=benchmarks&benchmark=relevance&question={judged}",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_mend(page: Page, server, ws, scheme) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(server.url)
    page.wait_for_selector("#examples img[src]")
    accessible(page, "ask")
    page.locator("#examples button").first.click()
    page.wait_for_selector("#masks button")
    accessible(page, "answer")
    image = training_set.page(ws, SHARD, "", "", 0)["images"][0]["image_id"]
    question, judged = (
        benchmarks.page(ws, name, "", "", 0)["questions"][-1]["query_id"] for name in ("refcoco", "relevance")
    )
    for name, state in STATES.items():
        browse(page, server, state.format(shard=SHARD, image=image, question=question, judged=judged))
        accessible(page, name)


def accessible(page: Page, name: str) -> None:
    found = Axe().run(page).response["violations"]
    told = [f"{broken['id']}: {[node['html'][:160] for node in broken['nodes'][:3]]}" for broken in found]
    assert not told, f"{name}: {told}"


def test_a_key_is_asked_for_and_opens_the_pages(start: Callable[..., Any], ws) -> None:
    url = start(of=None, cwd=ws.root, ARRCOC_API_KEY="secret").url
    assert requests.get(f"{url}/browse", timeout=9).ok  # the page itself asks for the key
    for path in ("", "/training-set", f"/shard-picture/{SHARD}/1", "/benchmarks"):
        assert requests.get(f"{url}/browse/api{path}", timeout=9).status_code == 401
        assert requests.get(f"{url}/browse/api{path}", headers={"X-API-Key": "secret"}, timeout=30).ok


def test_a_package_served_alone_says_that_there_is_nothing_to_browse(start: Callable[..., Any]) -> None:
    url = start().url
    here = requests.get(f"{url}/browse/api", timeout=9).json()
    told = requests.get(f"{url}/browse/api/training-set", timeout=9)
    assert told.status_code == 404 and told.json() == {"error": here["trouble"]}
    assert here["trouble"].startswith("nothing to browse: a package is served alone")
