"""Frozen text features of the batch's strings: each distinct string is encoded once, then remembered."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor

from ml.labeling.language.english import SMALL, English, english
from ml.labeling.language.referents import UNREAD, Referents, referents
from ml.models.frozen.clip import Clip, TextFeatures

REMEMBERED_BYTES = 256 * 2**20
CHUNK = 8  # strings encoded together: few are new to a step
VECTOR = 16  # floats of a vector register: attention over 15 tokens takes three times as long as over 16


@dataclass(frozen=True)
class QueryFeatures(TextFeatures):
    """Features of queries, and of the things they speak of.

    Attributes:
        referents: `[..., REFERENTS, e]`, pooled features of what a query names and of its anchor, L2-normalised; zeros
            where it leans on nothing.
    """

    referents: Tensor


REFERENTS = len(Referents._fields)


class TextBank:
    """Text features and token ids by string; "" stands for padding."""

    def __init__(self, clip: Clip, device: torch.device, language: str = SMALL) -> None:
        """`language`: the spaCy model that queries are read with."""
        self.clip, self.device, self._language = clip, device, language
        clip.model.text.to(device)
        self._known: OrderedDict[str, tuple[Tensor, Tensor]] = OrderedDict()
        self._bytes = 0

    @cached_property
    def reader(self) -> English:
        """Loaded when a query is first read: training knows what most of its own speak of."""
        return english(self._language)

    def features(self, texts: Sequence[Sequence[str]]) -> TextFeatures:
        """Features of `[B][Q]` texts with leading dimensions `[B, Q]`, a little longer than the longest text."""
        flat = [text for row in texts for text in row]
        self._learn(flat)
        found = [self._known[text] for text in flat]
        lead = (len(texts), len(texts[0]))
        tokens = torch.nn.utils.rnn.pad_sequence([tokens for tokens, _ in found], batch_first=True)
        tokens = F.pad(tokens, (0, 0, 0, -(tokens.shape[1] + 1) % VECTOR))  # the heads put one more before them
        lengths = torch.tensor([len(tokens) for tokens, _ in found], device=self.device)
        mask = torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]
        pooled = torch.stack([pooled for _, pooled in found])
        return TextFeatures(tokens.unflatten(0, lead), pooled.unflatten(0, lead), mask.unflatten(0, lead))

    def queries(self, texts: Sequence[Sequence[str]], spoken: Sequence[Sequence[Referents]] = ()) -> QueryFeatures:
        """As `features`, with the pooled features of what each query speaks of.

        `spoken`: what the first queries of each row speak of, where that is known; all others are read.
        """
        whole = self.features(texts)
        rows = zip_longest(texts, spoken, fillvalue=())
        named = [[part for both in self._speak_of(row, known) for part in both] for row, known in rows]
        pooled = self.features(named).pooled
        there = [[[bool(part)] for part in row] for row in named]
        parts = (pooled * torch.tensor(there, device=pooled.device)).unflatten(1, (-1, REFERENTS))
        return QueryFeatures(whole.tokens, whole.pooled, whole.mask, parts)

    def _speak_of(self, texts: Sequence[str], known: Sequence[Referents]) -> list[Referents]:
        both = [part if part.name or not text else None for text, part in zip_longest(texts, known, fillvalue=UNREAD)]
        unread = [text for text, part in zip(texts, both, strict=True) if part is None]
        read = iter(referents(unread, self.reader) if unread else [])
        return [part or next(read) for part in both]

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids int64 `[M, L]`, cut to the longest; all padding for ""."""
        ids = self.clip.tokenize(list(texts))
        ids[[not text for text in texts]] = self.clip.pad_id
        longest = int((ids != self.clip.pad_id).sum(1).max())
        return ids[:, : max(2, longest)].to(self.device)

    def _learn(self, texts: Iterable[str]) -> None:
        distinct = dict.fromkeys(texts)
        for text in distinct:
            if text in self._known:
                self._known.move_to_end(text)
        new = [text for text in distinct if text not in self._known]
        for begin in range(0, len(new), CHUNK):
            self._encode(new[begin : begin + CHUNK])
        while self._bytes > REMEMBERED_BYTES and len(self._known) > len(distinct):
            _, forgotten = self._known.popitem(last=False)
            self._bytes -= sum(part.nbytes for part in forgotten)

    def _encode(self, texts: list[str]) -> None:
        # In batches of one size: a matrix product of another size rounds differently, and after resuming a string
        # is met in other company. At full length always: where a CoCa's class token stands depends on it.
        ids = self.clip.tokenize([*texts, *[""] * (CHUNK - len(texts))])
        encoded = self.clip.encode_text(ids.to(self.device))
        for text, tokens, pooled, mask in zip(texts, encoded.tokens, encoded.pooled, encoded.mask, strict=False):
            self._known[text] = (tokens[: int(mask.sum())].clone(), pooled.clone())
            self._bytes += sum(part.nbytes for part in self._known[text])
