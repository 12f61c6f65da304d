"""Captions from an endpoint that answers, throttles, breaks off, talks nonsense, goes away; the client is OpenAI's."""

import base64
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from openai_server import Reply, Request, Server, completion, failure, image_of

from ml.errors import UserError
from ml.labeling.captioners import asking, from_endpoint
from ml.labeling.captioners.asking import KEY, Asker
from ml.labeling.captioners.cache import Cache
from ml.labeling.captioners.from_endpoint import EndpointCaptioner
from ml.params import Endpoint, OpenAi
from ml.workspace.report import Report

SECRET = "sk-very-secret-key"
ALL = 1.0  # limit: every answer may be of no use
Images = list[Any]  # (KeptImage, pixels) of each
Make = Callable[..., EndpointCaptioner]


@pytest.fixture
def batch(batch: Images) -> Images:
    """Two images, whose crops are some forty."""
    return batch[:2]


@pytest.fixture
def make(endpoint: Endpoint, questions: OpenAi, batch: Images, tmp_path: Path) -> Make:
    """A captioner of the batch with a cache of the test's; params are changed by name."""

    def build(limit: float = ALL, **changes: Any) -> EndpointCaptioner:
        asked = questions.model_copy(update={name: changes.pop(name) for name in list(changes) if name in ASKED})
        asker = Asker(endpoint.model_copy(update=changes), asked)
        return EndpointCaptioner(asker, Cache(tmp_path / "answers.jsonl"), "sa_000000", total(batch), limit)

    return build


ASKED = set(OpenAi.model_fields)


def total(batch: Images) -> int:
    return sum(len(kept.rows) + 1 for kept, _ in batch)


def by_image(request: Request, times: int) -> Reply:
    """A caption of its own for each image, later for some than for others."""
    number = sum(image_of(request).encode()) % 9973
    return Reply(completion(f"a car {number}").body, wait=0.03 * (number % 3))


def once(reply: Reply, then: str = "a red car") -> Callable[[Request, int], Reply]:
    """A reply to the first request of each image, and then an answer."""
    return lambda request, times: reply if times == 1 else completion(then)


def test_answers_come_in_order_and_only_so_many_are_asked_at_a_time(server: Server, make: Make, batch: Images) -> None:
    server.answer = by_image
    said = make(parallel=4).caption(batch)
    expected = [by_image(request, 1) for request in sorted(server.requests, key=image_of)]
    assert len(said.masks) + len(said.images) == total(batch) and len(said.images) == len(batch)
    assert sorted(filter(None, [*said.masks, *said.images])) == sorted(
        json.loads(reply.body)["choices"][0]["message"]["content"] for reply in expected
    )
    assert 1 < server.together <= 4
    server.answer = lambda request, times: completion(
        json.loads(by_image(request, 1).body)["choices"][0]["message"]["content"]
    )
    again = make(parallel=1)
    again.cache = Cache(Path(again.cache.path.with_name("other.jsonl")))
    assert again.caption(batch) == said
    assert server.times.total() == 2 * len(server.times)


def test_what_is_asked_is_what_params_say(
    server: Server, make: Make, batch: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, f" {SECRET}\n")
    make(prompt="What?", image_prompt="Where?", temperature=0.5, max_tokens=7, crop_size=96).caption(batch[:1])
    assert server.keys == {f"Bearer {SECRET}"}
    prompts = [request["messages"][0]["content"][0]["text"] for request in server.requests]
    assert sorted(set(prompts)) == ["What?", "Where?"] and prompts.count("Where?") == 1
    for request in server.requests:
        assert (request["model"], request["temperature"], request["max_tokens"]) == ("a-model", 0.5, 7)
        head, _, data = image_of(request).partition(",")
        assert head == "data:image/jpeg;base64"
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert max(pixels.shape[:2]) == 96


def test_nothing_is_asked_twice(server: Server, make: Make, batch: Images) -> None:
    server.answer = by_image
    first = make()
    said = first.caption(batch)
    asked = len(server.requests)
    assert first.report().numbers["answers in this run"] == asked == len(server.times)
    server.models = lambda: failure(401)  # nor is anybody looked for
    again = make(url="http://127.0.0.1:1/v1", retries=0, timeout=1.0, parallel=1)
    assert again.caption(batch) == said
    assert len(server.requests) == asked
    numbers = again.report().numbers
    assert (numbers["answers in this run"], numbers["captions known before"]) == (0, total(batch))
    assert (numbers["prompt tokens"], numbers["completion tokens"]) == (0, 0)


CHANGES = [{"model": "b"}, {"prompt": "Who?"}, {"image_prompt": "Who?"}, {"temperature": 0.1}, {"max_tokens": 61}]
CHANGES += [{"drawing": "dim"}, {"drawing": "none"}, {"crop_margin": 0.6}, {"crop_size": 65}]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_counts_is_asked_anew(change: dict[str, Any], server: Server, make: Make, batch: Images) -> None:
    make().caption(batch[:1])
    captioner = make(**change)
    captioner.caption(batch[:1])
    of_masks = {"prompt", "drawing", "crop_margin"} & set(change)  # the image is asked about as before
    least = 1 if of_masks else len(batch[0][0].rows) if "image_prompt" in change else 0
    most = len(batch[0][0].rows) // 2 if "crop_margin" in change else least  # a crop may end at the image's border
    assert least <= captioner.known <= most and captioner.spent.answers > 0


def test_the_same_crop_twice_is_asked_about_once(server: Server, make: Make, batch: Images) -> None:
    said = make().caption([batch[0], batch[0]])
    assert max(server.times.values()) == 1
    assert len(said.masks) == 2 * len(batch[0][0].rows) and None not in said.masks


@pytest.mark.parametrize("asked", ["1", "date"])
def test_a_server_that_throttles_is_waited_for(asked: str, server: Server, make: Make, batch: Images) -> None:
    after = "1" if asked == "1" else formatdate(time.time() + 3, usegmt=True)
    server.answer = once(failure(429, Retry_After=after))
    begun = time.monotonic()
    captioner = make(parallel=64)
    assert set(captioner.caption(batch[:1]).masks) == {"a red car"}
    assert 1.0 <= time.monotonic() - begun < 8
    assert set(server.times.values()) == {2}
    assert captioner.report().rejected == {}


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_what_may_pass_is_asked_again(status: int, server: Server, make: Make, batch: Images) -> None:
    server.answer = once(failure(status))
    assert set(make().caption(batch[:1]).masks) == {"a red car"}


def test_a_connection_cut_within_the_answer_is_asked_again(server: Server, make: Make, batch: Images) -> None:
    server.answer = once(Reply(completion("a red car").body, sent=40))
    assert set(make().caption(batch[:1]).masks) == {"a red car"}


@pytest.mark.parametrize(
    ("reply", "reason", "times"),
    [
        (Reply(completion("a car").body, wait=9), "timeout after 0.3 s", 3),
        (Reply(completion("a car").body, drip=0.02), "timeout after 0.3 s", 3),
        (Reply(completion("a car").body, sent=40), "the connection broke", 3),
        (failure(500), "status 500", 3),
        (failure(400), "status 400", 1),
        (failure(413), "status 413", 1),
        (Reply(b"<html>Log in</html>", kind="text/html"), "no chat completion", 1),
        (Reply(b""), "no chat completion", 1),
        (Reply(b"[]"), "no chat completion", 1),
        (Reply(b"null"), "no chat completion", 1),
        (Reply(b'{"choices": []}'), "no chat completion", 1),
        (Reply(b'{"choices": [{"message": {"content": [1]}}]}'), "no chat completion", 1),
        (Reply(completion("a car").body[:-9]), "JSON that is broken or cut", 1),
        (Reply(b"[" * 100_000), "JSON that is broken or cut", 1),
        (Reply(b"x" * (2 << 20)), "more than 1,048,576 bytes", 1),
        (completion(None), "empty", 1),
        (completion(""), "empty", 1),
        (completion("a car and " * 300), "endless, more than 2,000 letters", 1),
        (completion("a car and a", finish="length"), "endless: labels.openai.max_tokens reached", 1),
        (completion("", finish="content_filter"), "a refusal", 1),
        (completion(None, refusal="No."), "a refusal", 1),
        (completion("I'm sorry, but I can't help with that."), "a refusal", 1),
        (completion("I’m unable to see the image"), "a refusal", 1),
        (completion("🚗"), "no word in it", 1),
        (completion("ein rotes Auto"), "no English word in it", 1),
        (completion("\ud800"), "no word in it", 1),
    ],
)
def test_what_is_no_caption_is_counted_and_leaves_its_mask_without(
    reply: Reply, reason: str, times: int, server: Server, make: Make, batch: Images
) -> None:
    """Of one crop; those beside it are captioned."""
    bad: list[str] = []

    def answer(request: Request, asked: int) -> Reply:
        bad.append(image_of(request))
        return reply if image_of(request) == bad[0] else completion("a red car")

    server.answer = answer
    captioner = make(timeout=0.3 if reply.wait or reply.drip else 5.0, parallel=1)
    said = captioner.caption(batch[:1])
    assert said.masks == [None] + ["a red car"] * (len(said.masks) - 1)
    assert server.times[bad[0]] == times
    report = captioner.report()
    assert report.rejected == {f"answer: {reason}": 1}
    assert report.tables["useless answers"][0]["image_id"] == batch[0][0].image_id
    assert report.numbers["captions asked"] == len(said.masks) + 1


def test_answers_of_no_use_are_not_paid_for_again(server: Server, make: Make, batch: Images) -> None:
    server.answer = lambda request, times: completion("")
    first, again = make(), make()
    first.caption(batch[:1])
    again = make()
    again.caption(batch[:1])
    assert max(server.times.values()) == 1
    assert first.report().rejected == again.report().rejected == {"answer: empty": len(batch[0][0].rows) + 1}


def test_too_many_answers_of_no_use_stop_the_stage(server: Server, make: Make, batch: Images) -> None:
    server.answer = lambda request, times: completion("🚗" if sum(image_of(request).encode()) % 2 else "a car")
    captioner = make(limit=0.05)
    captioner.caption(batch)
    with pytest.raises(UserError, match=r"of a-model are of no use \(\d+ x no word in it; the last: '🚗'\), 5.0% are"):
        captioner.report()


def test_they_stop_it_early_where_there_are_many(
    server: Server, make: Make, batch: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_endpoint, "EARLY", 20)
    server.answer = lambda request, times: completion("")
    with pytest.raises(UserError, match="of no use"):
        make(limit=0.05).caption(batch[:1])


def test_tokens_and_price_are_told(server: Server, make: Make, batch: Images) -> None:
    captioner = make(prompt_price=2.0, completion_price=10.0)
    captioner.caption(batch)
    numbers, n = captioner.report().numbers, len(server.requests)
    assert (numbers["prompt tokens"], numbers["completion tokens"]) == (100 * n, 5 * n)
    assert numbers["price"] == pytest.approx(n * (100 * 2 + 5 * 10) / 1e6)
    assert "answers without token counts" not in numbers
    server.answer = lambda request, times: completion("a car", tokens=None)
    captioner = make(model="b")
    captioner.caption(batch[:1])
    numbers = captioner.report().numbers
    assert numbers["answers without token counts"] == numbers["answers in this run"] > 0
    assert "price" not in numbers


def test_progress_is_told(
    server: Server, make: Make, batch: Images, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(from_endpoint, "TELL_SECONDS", 0.0)
    make().caption(batch[:1])
    captioner = make()
    for member in batch:
        captioner.caption([member])
    n = total(batch)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"arrcoc: sa_000000: {n} of {n} captions, {105 * captioner.spent.answers:,} tokens in this run"
    told = [int(re.match(r"arrcoc: sa_000000: (\d+) of", line)[1]) for line in lines]
    assert told == [*range(1, total(batch[:1]) + 1), *range(total(batch[:1]) + 1, n + 1)]


def test_an_endpoint_that_is_away_is_told_at_once(make: Make, batch: Images) -> None:
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"^http://127\.0\.0\.1:1/v1: the endpoint is away .*endpoint\.url") as error:
        make(url="http://user:word@127.0.0.1:1/v1", retries=9).caption(batch)
    assert time.monotonic() - begun < 5 and "word" not in str(error.value)


def test_an_endpoint_that_hangs_is_told_in_seconds(
    server: Server, make: Make, batch: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "REACH_SECONDS", 0.3)
    server.models = lambda: Reply(b"{}", wait=5)
    with pytest.raises(UserError, match="the endpoint is away"):
        make().caption(batch)
    assert not server.requests


def test_a_server_without_a_list_of_models_is_there(server: Server, make: Make, batch: Images) -> None:
    server.models = lambda: failure(404)
    assert set(make().caption(batch[:1]).masks) == {"a red car"}


@pytest.mark.parametrize(
    ("key", "reply", "words"),
    [
        (None, failure(401), "status 401 .*OPENAI_API_KEY is not set, and it wants a key"),
        (SECRET, failure(401, f"Incorrect key: {SECRET}"), r"status 401 .*\*\*\*.*set OPENAI_API_KEY to a key"),
        (
            SECRET,
            failure(403, "not yours"),
            r"status 403 \(not yours\); set OPENAI_API_KEY .* use a-model",
        ),
        (SECRET, failure(404, "no such model"), r"status 404 \(no such model\); set labels.openai.model .* a-model"),
        (SECRET, Reply(b"<html>", 404, kind="text/html"), "status 404; set labels.openai.model"),
        (SECRET, failure(429, "pay", "insufficient_quota"), r"status 429 \(pay\); the account of OPENAI_API_KEY"),
    ],
)
def test_what_every_question_would_get_is_one_line(
    key: str | None,
    reply: Reply,
    words: str,
    server: Server,
    make: Make,
    batch: Images,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    if key:
        monkeypatch.setenv(KEY, key)
    server.answer = lambda request, times: reply
    with pytest.raises(UserError, match=words) as error:
        make(parallel=4).caption(batch)
    line = str(error.value)
    assert line.startswith(server.url) and len(line.splitlines()) == 1 and SECRET not in line
    assert len(server.requests) <= 4


def test_a_key_that_is_not_known_is_told_before_any_question(
    server: Server, make: Make, batch: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    server.models = lambda: failure(401)
    with pytest.raises(UserError, match=r"status 401.*OPENAI_API_KEY"):
        make().caption(batch)
    assert not server.requests


@pytest.mark.parametrize("key", ["sk-schlüssel", "sk-a\nb", "sk-\x00"])
def test_a_key_that_none_is_is_not_sent(
    key: str, server: Server, make: Make, batch: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, KEY: key})
    with pytest.raises(UserError, match=r"^OPENAI_API_KEY: holds characters that no key has; set it again$"):
        make().caption(batch)
    assert not server.keys


def test_an_address_that_none_is_is_told(make: Make, batch: Images) -> None:
    with pytest.raises(UserError, match="endpoint"):
        make(url="http://127.0.0.1:99999999/v1").caption(batch)


def test_an_endpoint_that_stops_to_answer_is_given_up_and_gone_on_with(
    server: Server, make: Make, batch: Images
) -> None:
    def answer(request: Request, times: int) -> Reply:
        return by_image(request, times) if len(server.times) <= 20 else failure(503)

    server.answer = answer
    with pytest.raises(UserError, match=r"16 questions in a row without an answer of a-model .*status 503"):
        make(parallel=1, retries=0).caption(batch)
    assert len(server.requests) == 20 + asking.LOST
    before = dict(server.times)
    server.answer = by_image
    captioner = make()
    assert None not in captioner.caption(batch).masks
    assert captioner.known == 20
    assert all(server.times[image] == 1 for image in list(before)[:20])


def test_a_last_line_that_was_cut_is_left_out_told_and_written_over(server: Server, make: Make, batch: Images) -> None:
    server.answer = by_image
    said = make(parallel=1).caption(batch[:1])
    path = make().cache.path
    path.write_bytes(path.read_bytes()[:-25])
    before = len(server.requests)
    captioner = make()
    assert captioner.caption(batch[:1]) == said
    assert len(server.requests) == before + 1
    assert captioner.report().rejected == {"line of the answers kept that is cut or damaged": 1}
    assert all(json.loads(line) for line in path.read_text().splitlines())
    whole = make()
    assert whole.caption(batch[:1]) == said and whole.report().rejected == {}


@pytest.mark.parametrize("line", [b"{}", b"nonsense", b"\xff\xfe", b'{"key": 1}', b"[" * 10_000])
def test_a_damaged_line_costs_itself(line: bytes, server: Server, make: Make, batch: Images) -> None:
    server.answer = by_image
    said = make().caption(batch[:1])
    path = make().cache.path
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, line, b"\n", *rest]))
    before = len(server.requests)
    captioner = make()
    assert captioner.caption(batch[:1]) == said
    assert len(server.requests) == before
    assert captioner.report().rejected == {"line of the answers kept that is cut or damaged": 1}


def test_the_key_is_nowhere(
    server: Server,
    make: Make,
    batch: Images,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither in what is kept, nor in what is told or logged, though a server says it aloud."""
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setattr(from_endpoint, "TELL_SECONDS", 0.0)
    caplog.set_level(logging.DEBUG)
    server.answer = lambda request, times: completion(
        SECRET if sum(image_of(request).encode()) % 2 else f"{SECRET} 🚗 {SECRET}", finish="length"
    )
    captioner = make()
    captioner.caption(batch)
    report: Report = captioner.report()
    server.answer = lambda request, times: failure(500, SECRET)
    with pytest.raises(UserError) as error:
        make(model="b", retries=0).caption(batch)
    printed = capfd.readouterr()
    told = [str(vars(report)), str(error.value), repr(error.value.__cause__), caplog.text, printed.out, printed.err]
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert files and "***" in files[0]
    assert server.keys == {f"Bearer {SECRET}"}
    assert not [text for text in [*told, *files] if SECRET in text]


CHILD = """
import sys
from pathlib import Path
from collections import Counter
from ml.labeling.captioners.asking import Asker
from ml.labeling.captioners.cache import Cache
from ml.labeling.captioners.from_endpoint import EndpointCaptioner
from ml.labeling.kept import decoded, read_kept
from ml.workspace.settings import preset

url, kept, tar, cache = sys.argv[1:]
params = preset("toytown")
asked = params.labels.openai.model_copy(update={"model": "a-model", "crop_size": 64})
endpoint = params.endpoint.model_copy(update={"url": url, "parallel": 1})
captioner = EndpointCaptioner(Asker(endpoint, asked), Cache(Path(cache)), "sa_000000", 100, 1.0)
for pair in decoded(read_kept(Path(kept)), Path(tar), Counter()):
    captioner.caption([pair])
"""


def test_a_killed_run_goes_on_and_nothing_is_paid_for_twice(
    server: Server, make: Make, batch: Images, shard: Any, tmp_path: Path
) -> None:
    killed = 25
    child: list[subprocess.Popen[bytes]] = []

    def answer(request: Request, times: int) -> Reply:
        if len(server.requests) == killed:
            child[0].send_signal(signal.SIGKILL)
            child[0].wait()
            return failure(500)
        return by_image(request, times)

    server.answer = answer
    command = [
        sys.executable,
        "-c",
        CHILD,
        server.url,
        str(shard.kept),
        str(shard.tar),
        str(tmp_path / "answers.jsonl"),
    ]
    child.append(subprocess.Popen(command))
    assert child[0].wait(60) == -signal.SIGKILL
    assert len(server.requests) == killed
    server.answer = by_image
    captioner = make(parallel=1)
    said = captioner.caption(batch)
    assert None not in said.masks
    assert captioner.known == killed - 1
    assert server.paid == len(server.times)  # a completion for each picture
    fresh = make(parallel=1)
    fresh.cache = Cache(tmp_path / "other.jsonl")
    assert fresh.caption(batch) == said
