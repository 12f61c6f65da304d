"""Questions to an OpenAI-compatible endpoint: many at a time, with deadlines, repeated where that may help.

The client's own repeats are switched off: they wait less than a server asks for where that is over a minute, and stop a
stream that breaks off for good. The key comes from the environment; what a server says is told without it.
"""

import asyncio
import base64
import os
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ml.errors import UserError, cut
from ml.labeling.captioners.answers import Answer, read_answer
from ml.params import Endpoint, OpenAi
from ml.sa1b.sources.transfer import asked_wait, plain

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

KEY = "OPENAI_API_KEY"
NO_KEY = "none"  # what servers that ask for no key are sent
REACH_SECONDS = 10.0  # in which an endpoint says that it is there
BACKOFF, LONGEST_WAIT = 1.0, 60.0  # seconds before a question is repeated, doubled each time up to the longest
LONGEST_ASKED = 600.0  # seconds; a server that asks for more is away
MOST_BYTES = 1 << 20  # of an answer
PASSING = {408, 409, 425, 429}  # statuses that may pass; and 500 and up
LOST = 16  # questions in a row without an answer, after which the endpoint is given up

Question = tuple[str, bytes]  # prompt and JPEG
Done = Callable[[str, "Answer | str"], None]  # takes a question's key and its answer, or why there is none


class _FailureError(Exception):
    """An attempt without an answer: why, whether it may pass, and the seconds that the server asks to wait."""

    def __init__(self, reason: str, passing: bool = True, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.passing, self.wait = reason, passing, wait


class Asker:
    """Asks one model at one endpoint."""

    def __init__(self, endpoint: Endpoint, params: OpenAi) -> None:
        """No word is sent before there is a question."""
        self.endpoint, self.params = endpoint, params
        self.url = plain(endpoint.url)
        self._key = os.environ.get(KEY, "").strip() or NO_KEY
        self._reached = False
        self._lost = 0  # questions in a row

    def ask(self, questions: Mapping[str, Question], done: Done) -> None:
        """Ask all questions, `endpoint.parallel` at a time; each answer is handed over as it comes.

        Raises:
            UserError: the endpoint is away, does not know the key or the model, or has stopped to answer.
        """
        if not self._key.isascii() or not self._key.isprintable():
            raise UserError(f"{KEY}: holds characters that no key has; set it again")
        asyncio.run(self._ask(questions, done))

    async def _ask(self, questions: Mapping[str, Question], done: Done) -> None:
        limit, stopped = asyncio.Semaphore(self.endpoint.parallel), asyncio.Event()
        async with self._client() as client:
            if not self._reached:
                await self._reach(client)

            async def one(key: str, question: Question) -> None:
                async with limit:
                    if not stopped.is_set():
                        try:
                            answer = await self._patiently(lambda: self._attempt(client, question))
                            self._count(answer)
                            done(key, answer)
                        except UserError:
                            stopped.set()
                            raise

            tasks = [asyncio.create_task(one(*item)) for item in questions.items()]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _client(self) -> "AsyncOpenAI":
        from httpx2 import InvalidURL
        from openai import AsyncOpenAI  # a second, which whoever captions otherwise need not wait

        url, timeout = self.endpoint.url, self.endpoint.timeout
        try:
            urlsplit(url).port  # noqa: B018  (asked, since it is checked then)
            return AsyncOpenAI(api_key=self._key, base_url=url, max_retries=0, timeout=timeout)
        except (InvalidURL, ValueError) as error:  # ValueError: of a proxy that the environment names
            raise UserError(f"endpoint.url: {self.url} can't be used ({cut(str(error), 80)}); correct it") from None

    async def _reach(self, client: "AsyncOpenAI") -> None:
        """Ask for the list of models; servers that have none answer that, too, and are there.

        Raises:
            UserError: nobody answers, or the key is not known.
        """
        from openai import APIConnectionError, APIStatusError

        try:
            async with asyncio.timeout(REACH_SECONDS):
                await client.models.with_raw_response.list(timeout=REACH_SECONDS)
        except APIStatusError as error:
            if error.status_code in (401, 403):
                raise self._refused(error) from None
        except (APIConnectionError, TimeoutError) as error:
            reason = cut(str(error.__cause__ or "")) or f"no answer in {REACH_SECONDS:.0f} s"
            raise UserError(
                f"{self.url}: the endpoint is away ({reason}); start the server (docs/captions.md), or set endpoint.url"
            ) from None
        self._reached = True

    async def _patiently(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer | str:
        """An answer, or why there is none after all repeats."""
        for repeats in range(self.endpoint.retries + 1):
            try:
                return await attempt()
            except _FailureError as failure:
                if not failure.passing or repeats == self.endpoint.retries:
                    return failure.reason
                await asyncio.sleep(max(failure.wait, _pause(repeats)))
        raise AssertionError

    async def _attempt(self, client: "AsyncOpenAI", question: Question) -> Answer:
        """One request; nothing is waited for longer than `endpoint.timeout`, however slowly bytes come.

        Raises:
            _FailureError: there is no answer.
            UserError: there will be none to any question.
        """
        from httpx2 import HTTPError
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        try:
            async with asyncio.timeout(self.endpoint.timeout):
                body = await self._body(client, question)
        except APIStatusError as error:
            raise self._status(error) from None
        except (TimeoutError, APITimeoutError):
            raise _FailureError(f"timeout after {self.endpoint.timeout:g} s") from None
        except (APIConnectionError, HTTPError):
            raise _FailureError("the connection broke") from None
        try:
            return read_answer(self._hidden(body))
        except ValueError as error:
            raise _FailureError(str(error), passing=False) from None

    async def _body(self, client: "AsyncOpenAI", question: Question) -> bytes:
        prompt, jpeg = question
        image = {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"}
        content: Any = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": image}]
        request = client.chat.completions.with_streaming_response.create(
            model=self.params.model,
            messages=[{"role": "user", "content": content}],
            temperature=self.params.temperature,
            max_tokens=self.params.max_tokens,
        )
        body = bytearray()
        async with request as response:
            async for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise _FailureError(f"more than {MOST_BYTES:,} bytes", passing=False)
        return bytes(body)

    def _status(self, error: "APIStatusError") -> Exception:
        status = error.status_code
        if status in (401, 403, 404) or getattr(error, "code", None) == "insufficient_quota":
            return self._refused(error)
        wait = asked_wait(error.response.headers.get("Retry-After", ""))
        return _FailureError(f"status {status}", status in PASSING or status >= 500, min(wait, LONGEST_ASKED))

    def _refused(self, error: "APIStatusError") -> UserError:
        """What to tell of a status that every question will get."""
        said = error.body.get("message") if isinstance(error.body, dict) else None
        words = cut(self._hidden(str(said or "").encode("utf-8", "replace")).decode(), 100)
        way_out = f"set {KEY} to a key that may use {self.params.model}"
        if error.status_code == 404:
            way_out = f"set labels.openai.model to one that it has, found {self.params.model}, or endpoint.url (.../v1)"
        elif error.status_code == 429:
            way_out = f"the account of {KEY} has no quota left; what was answered is kept"
        elif self._key == NO_KEY:
            way_out = f"{KEY} is not set, and it wants a key"
        return UserError(f"{self.url}: status {error.status_code}{f' ({words})' if words else ''}; {way_out}")

    def _hidden(self, said: bytes) -> bytes:
        """What a server says, without the key."""
        return said if self._key == NO_KEY else said.replace(self._key.encode(), b"***")

    def _count(self, answer: Answer | str) -> None:
        """Note whether questions are answered.

        Raises:
            UserError: many in a row were not.
        """
        self._lost = 0 if isinstance(answer, Answer) else self._lost + 1
        if self._lost >= LOST:
            raise UserError(
                f"{self.url}: {LOST} questions in a row without an answer of {self.params.model} (the last: {answer}); "
                "see what its server says, then run again: what was answered is kept"
            )


def _pause(repeats: int) -> float:
    return min(BACKOFF * 2 ** min(repeats, 16), LONGEST_WAIT) * random.uniform(0.5, 1.5)
