"""A real server: what it answers, what it refuses, how it stops, and what a killed worker takes with it."""

import base64
import io
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests
from PIL import Image

from ml.release.runtime.pictures import decode_image
from ml.release.runtime.predictor import Predictor, found
from ml.release.runtime.speech import Speaker
from ml.release.variants import REGISTERED
from ml.serving.limits import Limits
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene

LIMITS = Limits()


def jpeg(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


PICTURE = jpeg(draw(scene(0, 0, "tests")).image)


def ask(url: str, queries: list[str], image: bytes = PICTURE, path: str = "ask", **form: Any) -> requests.Response:
    data = [("query", query) for query in queries] + list(form.items())
    return requests.post(f"{url}/v1/{path}", files={"image": image}, data=data, timeout=60)


def test_it_answers_as_the_package_does(server, package: Path) -> None:
    predictor, queries = Predictor(package), ["the red car", "a tree left of the house"]
    seen, answers = predictor.predict(decode_image(PICTURE), queries)
    told = ask(server.url, queries).json()
    assert told["model"] == {"name": None, "version": None, "alias": None, "lineage": None}
    assert told["answers"] == json.loads(json.dumps([found(seen, answers, queries, i) for i in (0, 1)]))
    assert told["size"] == [256, 256]


def test_it_speaks_as_the_package_does(server, package: Path) -> None:
    speaker = Speaker(Predictor(package), package)
    seen = speaker.predictor.look(decode_image(PICTURE))
    assert ask(server.url, [], path="caption").json()["caption"] == speaker.caption(seen)
    (row,) = ask(server.url, ["what color is the car?"], path="question").json()["answers"]
    assert row["answer"] == speaker.answers(seen, ["what color is the car?"])[0]
    assert row["evidence"]["segmentation"]["size"] == [256, 256]


def test_the_heat_map_comes_when_asked_for(server) -> None:
    (plain,), (row,) = (ask(server.url, ["the house"], **form).json()["answers"] for form in ({}, {"heat_map": "true"}))
    assert "heat_map" not in plain
    with Image.open(io.BytesIO(base64.b64decode(row["heat_map"]))) as heat:
        assert (heat.format, heat.mode, heat.size) == ("PNG", "L", (256, 256))


def test_many_at_once_each_get_their_own(server) -> None:
    queries = [f"the {colour} {thing}" for colour in ("red", "blue", "green") for thing in ("car", "boat", "tree")]
    alone = [ask(server.url, [query]).json()["answers"][0] for query in queries]
    together: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda q=q: together.update({q: ask(server.url, [q]).json()["answers"][0]}))
        for q in queries
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for query, wanted in zip(queries, alone, strict=True):
        assert together[query]["query"] == query and together[query]["box"] == wanted["box"]
        assert together[query]["score"] == pytest.approx(wanted["score"], abs=1e-3)


@pytest.mark.parametrize(
    ("queries", "image", "status", "reason"),
    [
        ([], PICTURE, 422, "query: Field required"),
        ([""], PICTURE, 422, "query: 0 letters; from 1 to 500"),
        (["a" * 501], PICTURE, 422, "query: 501 letters; from 1 to 500"),
        (["a"] * 33, PICTURE, 422, "query: 33 of them; from 1 to 32"),
        (["a"], b"/etc/passwd", 422, r"image: no JPEG or PNG \(11 bytes\)"),
        (["a"], PICTURE[:2000], 422, "image: a JPEG of 2000 bytes can't be decoded"),
        (["a"], b"\0" * (LIMITS.body + 1), 413, r"body: \d+ bytes; at most 33,554,432"),
    ],
    ids=["no query", "empty", "long", "many", "a path", "cut", "large"],
)
def test_what_is_refused_is_told_in_a_line(server, queries: list[str], image: bytes, status: int, reason: str) -> None:
    told = ask(server.url, queries, image)
    assert told.status_code == status, told.text
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(told.json()["error"])
    assert set(told.json()) == {"error"} and "\n" not in told.text.strip() and "Traceback" not in told.text


def test_a_picture_of_too_many_pixels_is_never_decoded(server) -> None:
    file = io.BytesIO()
    Image.new("1", (9000, 9000)).save(file, "PNG")
    told = ask(server.url, ["a"], file.getvalue())
    assert (told.status_code, told.json()["error"]) == (
        413,
        "image: 9000 x 9000 pixels; at most 50,000,000: make it smaller",
    )


def test_a_body_that_hides_its_length_is_counted(server) -> None:
    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b"\0" * (1 << 20)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    told = requests.post(f"{server.url}/v1/ask", data=endless(), headers=headers, timeout=60)
    assert (told.status_code, told.json()["error"]) == (413, "body: more than 33,554,432 bytes")


def test_its_pages_for_watchers(server) -> None:
    ask(server.url, ["a house"])
    assert requests.get(f"{server.url}/healthz", timeout=9).json() == {"ok": True}
    assert 'arrcoc_requests_total{path="/v1/ask",status="200"}' in requests.get(f"{server.url}/metrics", timeout=9).text
    paths = requests.get(f"{server.url}/openapi.json", timeout=9).json()["paths"]
    assert {"/v1/ask", "/v1/caption", "/v1/question", "/healthz", "/metrics"} <= set(paths)
    assert requests.get(f"{server.url}/docs", timeout=9).ok


def test_with_a_key_nobody_else_is_let_in(start: Callable[..., Any]) -> None:
    url = start(ARRCOC_API_KEY="secret").url
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        told = requests.post(f"{url}/v1/caption", files={"image": PICTURE}, headers=headers, timeout=60)
        assert told.status_code == 401 and "Authorization: Bearer KEY" in told.json()["error"]
    for headers in ({"Authorization": "Bearer secret"}, {"X-API-Key": "secret"}):
        assert requests.post(f"{url}/v1/caption", files={"image": PICTURE}, headers=headers, timeout=60).ok


def test_a_killed_worker_is_replaced_and_told_of(start: Callable[..., Any]) -> None:
    server = start()
    workers = [
        child
        for child in psutil.Process(server.process.pid).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]
    assert workers
    busiest = max(workers, key=lambda child: child.memory_info().rss)
    busiest.suspend()
    told: list[requests.Response] = []
    asking = threading.Thread(target=lambda: told.append(ask(server.url, ["a car"], path="question")))
    asking.start()
    time.sleep(1)
    busiest.kill()
    until = time.monotonic() + 60
    while time.monotonic() < until and not ask(server.url, ["a car"]).ok:
        time.sleep(0.2)
    assert ask(server.url, ["a car"]).ok
    asking.join(90)
    assert told and told[0].status_code in (200, 503)


def test_a_stop_waits_for_what_is_at_work(start: Callable[..., Any]) -> None:
    server, told = start(), []
    large = jpeg(np.repeat(np.repeat(draw(scene(2, 2, "tests")).image, 6, 0), 6, 1))
    asking = threading.Thread(target=lambda: told.append(ask(server.url, ["a car"], large)))
    asking.start()
    time.sleep(0.3)
    server.process.send_signal(signal.SIGINT)
    asking.join(60)
    assert told[0].status_code in (200, 503)
    assert server.process.wait(60) == 0 and not psutil.pid_exists(server.process.pid)


def test_a_new_release_is_taken_up_without_a_stop(start: Callable[..., Any], package: Path, tmp_path: Path) -> None:
    home = tmp_path / "released_model"
    shutil.copytree(package, home / "package")
    server = start(of=home / "package")
    assert ask(server.url, ["a car"]).json()["model"]["version"] is None
    released = {"name": "arrcoc", "version": "2", "alias": "champion", "lineage": "abc"}
    shutil.copytree(package, tmp_path / "next" / "package")
    (tmp_path / "next" / REGISTERED).write_text(json.dumps(released))
    home.rename(tmp_path / "old")
    assert ask(server.url, ["a car"]).ok  # while none lies there
    (tmp_path / "next").rename(home)
    assert ask(server.url, ["a car"]).json()["model"] == released
    (home / "package" / "package.json").write_text("{")
    assert ask(server.url, ["a car"]).json()["model"] == released  # a broken one is not


def test_no_package_is_one_line(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from ml.errors import UserError
    from orchestration.cli import app

    told = CliRunner().invoke(app, ["serve", "--package", str(tmp_path)])
    assert isinstance(told.exception, UserError) and "no released model there" in str(told.exception)
