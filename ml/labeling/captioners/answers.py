"""What an endpoint answers: chat completions read from bytes that may be anything, and judged as captions."""

import json
import re
from typing import Any

from pydantic import BaseModel, ConfigDict

from ml.labeling.captioners.faults import text_fault

ENDLESS = "endless: labels.openai.max_tokens reached"
REFUSAL = "a refusal"
NO_JSON = "JSON that is broken or cut"
NO_COMPLETION = "no chat completion"
MOST_LETTERS = 10_000  # of an answer that are kept: max_tokens may be disregarded
REFUSES = re.compile(
    r"(i'm|i am) (very |so )?sorry|sorry[,.!]|as an ai\b|unable to\b|"
    r"i (can't|cannot|can not|could not|couldn't|am unable|am not able)\b|i'm (unable|not able)\b"
)


class Answer(BaseModel):
    """A chat completion, as far as it is used. `finish`: why it ended ("stop", "length", ...)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    text: str
    finish: str
    refused: bool
    prompt_tokens: int
    completion_tokens: int


def read_answer(body: bytes) -> Answer:
    """The answer in the body of a response.

    Raises:
        ValueError: it is no chat completion; says what it is.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(NO_JSON if body.lstrip()[:1] in (b"{", b"[") else NO_COMPLETION) from None
    try:
        choice = value["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        said, refusal = message["content"], message.get("refusal")
    except (LookupError, TypeError, AttributeError):
        raise ValueError(NO_COMPLETION) from None
    if not isinstance(said, str | None):
        raise ValueError(NO_COMPLETION)
    text = (said or "")[:MOST_LETTERS].encode("utf-8", "replace").decode()
    prompt, completion = (_tokens(value, name) for name in ("prompt_tokens", "completion_tokens"))
    return Answer(
        text=text, finish=str(finish), refused=bool(refusal), prompt_tokens=prompt, completion_tokens=completion
    )


def answer_fault(answer: Answer) -> str:
    """Why an answer is no caption; "" where it is one."""
    words = answer.text.lower().replace("’", "'").lstrip(" \n\"'*")
    if answer.refused or answer.finish == "content_filter" or REFUSES.match(words):
        return REFUSAL
    if answer.finish == "length":
        return ENDLESS
    return text_fault(answer.text)


def _tokens(value: Any, name: str) -> int:
    """How many tokens a completion says that it took; 0 where it says nothing that can be."""
    usage = value.get("usage")
    found = usage.get(name) if isinstance(usage, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**31 else 0
