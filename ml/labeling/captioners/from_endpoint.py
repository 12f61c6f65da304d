"""Captions by a model behind an OpenAI-compatible endpoint; what it has answered once is never asked again."""

import sys
import time
from collections import Counter
from dataclasses import dataclass

from ml.errors import UserError, cut
from ml.labeling.captioners.answers import Answer, answer_fault
from ml.labeling.captioners.asking import Asker, Question
from ml.labeling.captioners.batch import Batch
from ml.labeling.captioners.cache import Cache, question_key
from ml.labeling.captioners.captioner import Captions
from ml.labeling.captioners.drawing import drawn_image, drawn_masks
from ml.labeling.captioners.faults import SHOWN
from ml.params import Endpoint
from ml.workspace.report import Report, Sum

TELL_SECONDS = 10.0  # between two lines of progress
EARLY = 1000  # captions; of fewer, the share that is of no use is not yet told from chance
SHOWN_ANSWERS = 20  # of those that are of no use, a shard
MILLION = 1_000_000

Place = tuple[int, int | None]  # an image's id, and the mask's; None: the image itself


@dataclass(frozen=True)
class Useless:
    """An answer that is no caption: of which image and mask (None: of the image itself), what was found, and why."""

    image_id: int
    mask_id: int | None
    found: str
    reason: str


@dataclass
class Spent:
    """What this run has asked, and what that took."""

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0  # answers that do not say how many tokens they took

    def add(self, answer: Answer) -> None:
        """Count an answer that has just come."""
        self.answers += 1
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens
        self.uncounted += not answer.prompt_tokens + answer.completion_tokens

    def price(self, endpoint: Endpoint) -> float:
        """In the currency of the endpoint's prices; 0: they are not known."""
        asked, said = self.prompt_tokens * endpoint.prompt_price, self.completion_tokens * endpoint.completion_price
        return (asked + said) / MILLION


class EndpointCaptioner:
    """Captions the drawn crops of a shard's masks, and its images."""

    def __init__(self, asker: Asker, cache: Cache, shard: str, total: int, limit: float) -> None:
        """What is asked and kept where.

        Args:
            shard: its name, for lines of progress.
            total: the captions that it will take, those of its images included.
            limit: the greatest fraction of them that may be of no use.
        """
        self.asker, self.cache, self.shard, self.total, self.limit = asker, cache, shard, total, limit
        self.asked = self.known = self.unanswered = 0
        self.useless: list[Useless] = []
        self.spent = Spent()
        self._told = time.monotonic()

    def look(self, batch: Batch) -> None:
        """Nothing: pictures are drawn while answers are waited for."""

    def caption(self, batch: Batch) -> Captions:
        """What the model says, or has said before.

        Raises:
            UserError: the endpoint can't be used, or too many of its answers can't.
        """
        places, questions = self._questions(batch)
        keys = [question_key(self.asker.params, *question) for question in questions]
        missing = {key: question for key, question in zip(keys, questions, strict=True) if key not in self.cache}
        self.known += sum(key not in missing for key in keys)
        failed: dict[str, str] = {}
        if missing:
            self.asker.ask(missing, lambda key, answer: self._take(key, answer, failed))
        texts = [self._judged(*place, key, failed) for place, key in zip(places, keys, strict=True)]
        self._limit(EARLY)
        masks = len(texts) - len(batch)
        return Captions(texts[:masks], [text or "" for text in texts[masks:]])

    def report(self) -> Report:
        """Tokens and price of what was asked in this run, and answers of no use by reason.

        Raises:
            UserError: too many are of no use.
        """
        self._limit(self.asked)
        spent, damaged = self.spent, self.cache.damaged
        numbers: dict[str, float | int | str] = {
            "captions asked": self.asked,
            "captions known before": self.known,
            "answers in this run": spent.answers,
            "prompt tokens": spent.prompt_tokens,
            "completion tokens": spent.completion_tokens,
        }
        if spent.uncounted:
            numbers["answers without token counts"] = spent.uncounted
        if price := spent.price(self.asker.endpoint):
            numbers["price"] = Sum(price)
        rejected = Counter(f"answer: {answer.reason}" for answer in self.useless)
        rejected += Counter({"line of the answers kept that is cut or damaged": damaged})
        shown = [vars(answer) for answer in self.useless[:SHOWN_ANSWERS]]
        return Report(numbers, {"useless answers": shown} if shown else {}, rejected=dict(rejected))

    def _questions(self, batch: Batch) -> tuple[list[Place], list[Question]]:
        """Of each mask and then of each image: which it is, and what is asked."""
        params = self.asker.params
        places: list[tuple[int, int | None]] = [
            (kept.image_id, row["mask_id"]) for kept, _ in batch for row in kept.rows
        ]
        crops = [jpeg for kept, image in batch for jpeg in drawn_masks(image, kept.masks(), params)]
        whole = [(params.image_prompt, drawn_image(image, params)) for _, image in batch]
        return places + [(kept.image_id, None) for kept, _ in batch], [(params.prompt, jpeg) for jpeg in crops] + whole

    def _take(self, key: str, answer: Answer | str, failed: dict[str, str]) -> None:
        """Keep an answer at once, so that it is not lost whatever comes; `failed` takes why there is none."""
        if isinstance(answer, Answer):
            self.cache.keep(key, answer)
            self.spent.add(answer)
        else:
            failed[key] = answer
            self.unanswered += 1
        if time.monotonic() > self._told + TELL_SECONDS:
            self._told = time.monotonic()
            self._tell()

    def _tell(self) -> None:
        """A line of progress."""
        done = self.known + self.spent.answers + self.unanswered
        tokens = self.spent.prompt_tokens + self.spent.completion_tokens
        line = f"{done:,} of {self.total:,} captions, {tokens:,} tokens in this run"
        print(f"arrcoc: {self.shard}: {line}", file=sys.stderr, flush=True)

    def _judged(self, image_id: int, mask_id: int | None, key: str, failed: dict[str, str]) -> str | None:
        """A caption, or None where the answer is of no use, which is then counted."""
        self.asked += 1
        reason = failed[key] if key in failed else answer_fault(self.cache[key])
        if not reason:
            return self.cache[key].text.strip()
        found = "" if key in failed else cut(self.cache[key].text, SHOWN)
        self.useless.append(Useless(image_id, mask_id, found, reason))
        return None

    def _limit(self, least: int) -> None:
        """Stop where too many answers are of no use, of those asked for, or of `least` where they are fewer."""
        if len(self.useless) <= self.limit * max(self.asked, least):
            return
        reasons = Counter(answer.reason for answer in self.useless).most_common(3)
        often, last = ", ".join(f"{count} x {reason}" for reason, count in reasons), self.useless[-1]
        raise UserError(
            f"{self.asker.url}: {len(self.useless)} of {self.asked} answers of {self.asker.params.model} are of no use "
            f"({often}; the last: {last.found!r}), {self.limit:.1%} are allowed; change labels.openai.prompt or model, "
            "or raise quality.max_reject_fraction"
        )
