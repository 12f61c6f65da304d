"""spaCy's tokenizer from its rules alone: text in, words out, as `spacy.tokenizer.Tokenizer` cuts them.

Between spaces a piece loses what may stand before and behind a word, until it is an exception or nothing more comes
off; what is left is cut at infixes. Exceptions that this would cut themselves are put together again at the end.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple


class Token(NamedTuple):
    """A word, its norm where an exception tells it, and whether a space follows."""

    text: str
    norm: str | None = None
    spaced: bool = False


@dataclass(frozen=True)
class Rules:
    """Regular expressions, and exceptions: {piece: its words with their norms, "" where there is none}."""

    prefix: str
    suffix: str
    infix: str
    url: str
    exceptions: Mapping[str, Sequence[tuple[str, str]]]


class Tokenizer:
    """Cuts texts by rules."""

    def __init__(self, rules: Rules) -> None:
        self._prefix, self._suffix = re.compile(rules.prefix).search, re.compile(rules.suffix).search
        self._infix, self._url = re.compile(rules.infix).finditer, re.compile(rules.url).match
        self._exceptions = {
            piece: [Token(word, norm or None) for word, norm in words] for piece, words in rules.exceptions.items()
        }

    def __call__(self, text: str) -> list[Token]:
        """The words of a text whose only white space is single spaces."""
        tokens: list[Token] = []
        for piece in text.split(" ") if text else []:
            words = self._exceptions.get(piece) or self._cut(piece, self._exceptions)
            tokens += [*words[:-1], words[-1]._replace(spaced=True)]
        if tokens:
            tokens[-1] = tokens[-1]._replace(spaced=False)
        return self._joined(tokens)

    def _cut(self, piece: str, exceptions: Mapping[str, Sequence[Token]]) -> list[Token]:
        before: list[str] = []
        behind: list[str] = []
        last = 0
        while piece and len(piece) != last and piece not in exceptions:
            last = len(piece)
            first = _length(self._prefix(piece))
            if first and piece[first:] in exceptions:
                before.append(piece[:first])
                piece = piece[first:]
                break
            end = _length(self._suffix(piece[first:]))
            if end and piece[:-end] in exceptions:
                behind.append(piece[-end:])
                piece = piece[:-end]
                break
            before += [piece[:first]] if first else []
            behind += [piece[-end:]] if end else []
            piece = piece[first : len(piece) - end]
        return [*map(Token, before), *self._middle(piece, exceptions), *map(Token, reversed(behind))]

    def _middle(self, piece: str, exceptions: Mapping[str, Sequence[Token]]) -> Sequence[Token]:
        """What is left of a piece: an exception, an address, or words between infixes."""
        if piece in exceptions:
            return exceptions[piece]
        if not piece or self._url(piece):
            return [Token(piece)] if piece else []
        cuts = [cut for match in self._infix(piece) if match.start() for cut in match.span()]
        return [Token(piece[a:b]) for a, b in pairwise([0, *cuts, len(piece)]) if a < b]

    @cached_property
    def _split(self) -> dict[tuple[str, ...], str]:
        """Exceptions that come out cut, by their words then: "a.m." with a comma behind it, ":-)"."""
        affixed = (e for e in self._exceptions if self._prefix(e) or self._suffix(e) or any(self._infix(e)))
        return {tuple(token.text for token in self._cut(piece, {})): piece for piece in affixed}

    def _joined(self, tokens: list[Token]) -> list[Token]:
        """The words, with the longest runs that make up an exception in its words; one with spaces keeps its place."""
        found = sorted(self._runs(tokens), key=lambda run: (run[0] - run[1], run[0]))
        taken: dict[int, tuple[int, str]] = {}
        seen: set[int] = set()
        for start, end, piece in found:
            spaced = any(token.spaced for token in tokens[start : end - 1])
            if seen.isdisjoint((start, end - 1)) and not spaced:
                taken[start] = end, piece
            seen.update(range(start, end))
        return list(self._replaced(tokens, taken)) if taken else tokens

    def _runs(self, tokens: Sequence[Token]) -> Iterator[tuple[int, int, str]]:
        longest = max(map(len, self._split), default=0)
        for start in range(len(tokens)):
            for end in range(start + 1, min(start + longest, len(tokens)) + 1):
                piece = self._split.get(tuple(token.text for token in tokens[start:end]))
                if piece:
                    yield start, end, piece

    def _replaced(self, tokens: Sequence[Token], taken: Mapping[int, tuple[int, str]]) -> Iterator[Token]:
        i = 0
        while i < len(tokens):
            end, piece = taken.get(i, (i + 1, ""))
            words = self._exceptions[piece] if piece else [tokens[i]]
            yield from words[:-1]
            yield words[-1]._replace(spaced=tokens[end - 1].spaced)
            i = end


def _length(match: re.Match[str] | None) -> int:
    return match.end() - match.start() if match else 0
