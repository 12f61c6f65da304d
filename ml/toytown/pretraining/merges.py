"""A small byte-pair vocabulary learned from toytown's English, in the file format of open_clip's SimpleTokenizer."""

import gzip
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

WORD = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")  # as SimpleTokenizer splits lower-case ASCII

Pair = tuple[str, str]


def learn_merges(texts: Iterable[str]) -> list[Pair]:
    """Merge the most frequent pair of symbols until every word that occurs is one token; ties go by spelling."""
    words = Counter(word for text in texts for word in WORD.findall(text.lower()))
    spelled = {word: (*word[:-1], word[-1] + "</w>") for word in words}
    merges: list[Pair] = []
    while pairs := _count_pairs(spelled, words):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = {word: _merge(symbols, best) for word, symbols in spelled.items()}
    return merges


def write_merges(path: Path, merges: list[Pair]) -> None:
    """Write merges as gzip without a timestamp, below the header line that SimpleTokenizer skips."""
    text = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)])
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _count_pairs(spelled: dict[str, tuple[str, ...]], words: Counter[str]) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for word, symbols in spelled.items():
        for pair in pairwise(symbols):
            counts[pair] += words[word]
    return counts


def _merge(symbols: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
    out: list[str] = []
    for symbol in symbols:
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
        else:
            out.append(symbol)
    return tuple(out)
