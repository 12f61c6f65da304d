"""CLIP's byte-pair tokenizer (Radford et al., 2021) as open_clip has it, from its merges alone."""

import gzip
import html
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import ftfy
import numpy as np
import regex
from numpy.typing import NDArray

from ml.errors import UserError

MERGES = 49152 - 256 - 2  # of the published file; one's own may have fewer
START, END = "<start_of_text>", "<end_of_text>"
WORDS = regex.compile(
    r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)


class Tokenizer:
    """Texts to ids and back."""

    def __init__(self, merges: Path) -> None:
        """Read a gzipped merges file, its first line a header.

        Raises:
            UserError: it is missing or no gzip.
        """
        try:
            lines = gzip.decompress(merges.read_bytes()).decode("utf-8").split("\n")
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise UserError(f"{merges}: not readable as BPE merges ({error})") from error
        pairs = [tuple(line.split()) for line in lines[1 : MERGES + 1]]
        self._letters = _letters()
        single = list(self._letters.values())
        vocabulary = [*single, *(f"{letter}</w>" for letter in single), *map("".join, pairs), START, END]
        self._ids = {token: i for i, token in enumerate(vocabulary)}
        self._vocabulary, self._ranks = vocabulary, {pair: rank for rank, pair in enumerate(pairs)}
        self._bytes = {letter: byte for byte, letter in self._letters.items()}
        self._split = lru_cache(maxsize=1 << 14)(self._merged)

    @property
    def start_id(self) -> int:
        """What a text begins with."""
        return self._ids[START]

    @property
    def end_id(self) -> int:
        """What a text ends with."""
        return self._ids[END]

    def __call__(self, texts: Sequence[str], length: int) -> NDArray[np.int64]:
        """Ids `[n, length]`: start, text, end, zeros; a text too long is cut before the end."""
        out = np.zeros((len(texts), length), np.int64)
        for row, text in zip(out, texts, strict=True):
            ids = [self.start_id, *self.encode(text), self.end_id][:length]
            row[: len(ids)] = ids
            row[len(ids) - 1] = self.end_id
        return out

    def encode(self, text: str) -> list[int]:
        """Ids of a text alone."""
        clean = " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).strip().lower()
        words = ("".join(self._letters[byte] for byte in word.encode()) for word in WORDS.findall(clean))
        return [self._ids[part] for word in words for part in self._split(word)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        letters = "".join(self._vocabulary[i] for i in ids).replace("</w>", " ")
        return bytearray(self._bytes.get(letter, 32) for letter in letters).decode("utf-8", errors="replace").strip()

    def _merged(self, word: str) -> tuple[str, ...]:
        if word in (START, END):
            return (word,)
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self._ranks.get(pair, MERGES))
            if best not in self._ranks:
                break
            parts = _joined(parts, best)
        return tuple(parts)


def _joined(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    i = 0
    while i < len(parts):
        meets = tuple(parts[i : i + 2]) == pair
        out.append("".join(pair) if meets else parts[i])
        i += 2 if meets else 1
    return out


def _letters() -> dict[int, str]:
    """A letter for each byte: itself where it can be printed, else one from 256 on."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
